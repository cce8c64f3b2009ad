"""What each fault class means: blame, default action, meaning and next step.

The table is total (checked by a test). Words are for the people who own jobs and nodes.
"""

from __future__ import annotations

from springtide.api.springtide import Action, Blame
from springtide.faults.fault import Fault, Verdict

VERDICTS: dict[Fault, Verdict] = {
    Fault.PROGRAM_ERROR: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "The program raised an exception, or exited with a code of its own.",
        "Fix the program and submit it again; the evidence shows the failing line.",
    ),
    Fault.OUT_OF_MEMORY: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "The program wanted more memory than its limit or its GPU has.",
        "Raise memory in spec.trainer.resourcesPerNode, or use less (a smaller batch).",
    ),
    Fault.CRASHED: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "The program died of a signal of its own making: segmentation fault, abort, bus error.",
        "Run the rank with PYTHONFAULTHANDLER=1 to see where native code crashed.",
    ),
    Fault.CANNOT_START: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "The command could not be run.",
        "Check spec.trainer.command and image: the program was not found or not runnable.",
    ),
    Fault.KILLED: Verdict(
        Blame.UNKNOWN,
        Action.RESTART_IN_PLACE,
        "SIGKILL from outside: the kernel's out-of-memory killer, or a person.",
        "If it repeats, raise memory in spec.trainer.resourcesPerNode: most likely out of memory.",
    ),
    Fault.TERMINATED: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "SIGTERM from outside while the job was to run.",
        "Nothing: the job starts again.",
    ),
    Fault.NODE_RESTARTED: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "The node, or its agent, started anew and the process was gone.",
        "Nothing: the job starts again from its checkpoint.",
    ),
    Fault.NODE_LOST: Verdict(
        Blame.NODE,
        Action.RESTART_IN_PLACE,
        "The node is not heard from.",
        "Nothing: the job starts again on other nodes.",
    ),
    Fault.POD_DELETED: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "Somebody deleted the pod while the attempt ran.",
        "Nothing; to stop a job set spec.suspend or delete the job.",
    ),
    Fault.EVICTED: Verdict(
        Blame.NODE,
        Action.RESTART_IN_PLACE,
        "The node put the pod out: pressure, preemption, shutdown.",
        "Nothing: the job starts again on other nodes.",
    ),
    Fault.ADMISSION_REFUSED: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "The node refused the pod the scheduler sent it.",
        "Nothing: the job starts again.",
    ),
    Fault.DEVICE_ERROR: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A GPU or another accelerator of the node failed, and the text does not say how.",
        "Nothing for the job; the node's owner should test its accelerators (dcgmi diag -r 3 on NVIDIA).",
    ),
    Fault.GPU_OFF_BUS: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "The GPU does not answer on PCIe any more.",
        "Nothing for the job; reboot the node, then reseat or replace the GPU if it happens again.",
    ),
    Fault.GPU_MEMORY: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "Memory of a GPU (HBM, SRAM, caches) gave an error that could not be corrected.",
        "Nothing for the job; reset the GPU so that rows are remapped; replace it if errors return.",
    ),
    Fault.GPU_RESET: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "The GPU, its firmware (GSP) or its driver stopped working and needs a reset or a reboot.",
        "Nothing for the job; drain the node and reset the GPU; reboot if the reset does not help.",
    ),
    Fault.GPU_LINK: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A link between GPUs (NVLink, NVSwitch) failed.",
        "Nothing for the job; reset the GPUs; look at the device at the link's other end too.",
    ),
    Fault.GPU_PROGRAM: Verdict(
        Blame.PROGRAM,
        Action.RESTART_IN_PLACE,
        "A kernel of the program did something a GPU refuses: bad address, bad instruction, assertion.",
        "Run with CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer; if it is always the same GPU, test that GPU.",
    ),
    Fault.GPU_THERMAL: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A GPU or the machine is too hot or short of power and stopped or slowed down.",
        "Nothing for the job; check cooling and power of the node.",
    ),
    Fault.FABRIC_NOT_READY: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "GPUs are there but the fabric between them is not set up: its manager does not run.",
        "Nothing for the job; start nvidia-fabricmanager of the driver's own version, then return the node.",
    ),
    Fault.PCIE_ERROR: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "PCIe lost or damaged data between processor and device, beyond repair.",
        "Nothing for the job; check the slot, riser and cable of the device named here.",
    ),
    Fault.NIC_FAULT: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A network adapter of the node, its firmware or its port failed.",
        "Nothing for the job; check cable, optics and firmware of the adapter named here.",
    ),
    Fault.NETWORK_UNREACHABLE: Verdict(
        Blame.NETWORK,
        Action.RESTART_IN_PLACE,
        "A rank could not reach a peer over the network: no acknowledgement or no route.",
        "If it repeats between the same nodes, look at the peer's adapter and the switch between them.",
    ),
    Fault.COLLECTIVE_TIMEOUT: Verdict(
        Blame.UNKNOWN,
        Action.RESTART_IN_PLACE,
        "A collective operation did not end in time; who was late is not said by this line.",
        "Look for the rank that never entered the collective; TORCH_NCCL_TRACE_BUFFER_SIZE=2000 records it.",
    ),
    Fault.COLLECTIVE_MISMATCH: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "Ranks called different collectives, or with different shapes or devices.",
        "Call the same collectives in the same order; TORCH_DISTRIBUTED_DEBUG=DETAIL names them.",
    ),
    Fault.PEER_LOST: Verdict(
        Blame.NETWORK,
        Action.RESTART_IN_PLACE,
        "Ranks lost a peer and nobody shows why.",
        "If it repeats, look at the network between the nodes named here.",
    ),
    Fault.HOST_MEMORY: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "Memory of the machine gave an error that could not be corrected.",
        "Nothing for the job; replace the memory module named here.",
    ),
    Fault.NODE_OUT_OF_MEMORY: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "The machine itself, not one pod's limit, ran out of memory and the kernel killed a process.",
        "Give pods memory limits that together fit the node; the job starts again.",
    ),
    Fault.HOST_FAULT: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "The machine failed: processor, kernel panic, chipset, power.",
        "Nothing for the job; read the machine's event log (BMC) and repair it.",
    ),
    Fault.CPU_LOCKUP: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A processor or a task of the kernel did not move for a long time.",
        "Nothing for the job; reboot the node; if it comes again, look at the driver in the trace.",
    ),
    Fault.DISK_FAULT: Verdict(
        Blame.NODE,
        Action.CORDON_EVICT,
        "A local disk or its file system failed.",
        "Nothing for the job; check the disk named here (smartctl, nvme smart-log) and replace it.",
    ),
    Fault.DISK_FULL: Verdict(
        Blame.STORAGE,
        Action.FAIL_FAST,
        "No space left on a disk, or a quota is used up.",
        "Free space on the disk the message names, then submit again.",
    ),
    Fault.STORAGE_ERROR: Verdict(
        Blame.STORAGE,
        Action.RESTART_IN_PLACE,
        "A shared file system, volume or object store failed or did not answer.",
        "Check the volume the message names.",
    ),
    Fault.DEVICE_PLUGIN: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "The kubelet or a device plugin could not give the pod its devices.",
        "Nothing: the job starts again; if it repeats on one node, restart the device plugin there.",
    ),
    Fault.IMAGE_OR_DRIVER: Verdict(
        Blame.PLATFORM,
        Action.FAIL_FAST,
        "Image and driver, or two parts of the driver, do not fit together, or the image cannot be had.",
        "Use an image whose CUDA version the node's driver supports; check the image's name and pull secret.",
    ),
    Fault.PLATFORM_SETUP: Verdict(
        Blame.PLATFORM,
        Action.FAIL_FAST,
        "The platform gives pods too little: locked memory, shared memory, open files, an interface.",
        "Raise the limit the message names (ulimit -l unlimited, /dev/shm), then submit again.",
    ),
    Fault.PORT_TAKEN: Verdict(
        Blame.PLATFORM,
        Action.RESTART_IN_PLACE,
        "An address the program wanted to listen on was in use.",
        "If it repeats, do not fix a port in the program: use $PET_MASTER_PORT.",
    ),
    Fault.NUMERIC_DIVERGENCE: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "Loss or gradients became NaN or infinite.",
        "Lower the learning rate or skip the batch; if a rerun gives other numbers, test the GPU.",
    ),
    Fault.CHECKPOINT_MISMATCH: Verdict(
        Blame.PROGRAM,
        Action.FAIL_FAST,
        "A checkpoint does not fit the program: names, shapes, format, or it is damaged.",
        "Check path and model settings of the checkpoint; the message names the first difference.",
    ),
    Fault.HANG: Verdict(
        Blame.UNKNOWN,
        Action.RESTART_IN_PLACE,
        "The job stopped making progress without an error.",
        "The stack shows where the rank that caused it stands.",
    ),
    Fault.STRAGGLER: Verdict(
        Blame.UNKNOWN,
        Action.IGNORE,
        "One rank is much slower than its peers.",
        "Nothing; a paired check decides whether the node or the job is slow.",
    ),
    Fault.COLLECTOR_SILENT: Verdict(
        Blame.NODE,
        Action.IGNORE,
        "A collector of evidence on the node stopped answering.",
        "Look at the node: a device that stalls its driver stalls its monitors first.",
    ),
    Fault.TEARDOWN: Verdict(
        Blame.UNKNOWN,
        Action.RESTART_IN_PLACE,
        "What processes say while they are being stopped: a consequence, never a cause.",
        "Nothing; the cause is in an earlier line.",
    ),
    Fault.NOTE: Verdict(
        Blame.UNKNOWN,
        Action.IGNORE,
        "Worth a record, not an action: a corrected error, a hint, a line of information.",
        "Nothing; a rate that rises is worth a look.",
    ),
}
"""Total: one entry a fault."""
