"""Makers of devices other than NVIDIA, as HAMi knows them: one row of a table for each.

What a pod asks with, in which unit, where a node lists its devices, where a pod's annotations say which it
holds, which parts there are. Nothing here decides: `makerdevices` reads nodes and pods by these rows,
`makernotes` writes by them, `scheduling` counts what they yield. A maker that HAMi learns is a row more.
Source: HAMi 2.10, pkg/device/* (names, formats, defaults) and charts/hami, device-configmap (resources,
templates). Of Enflame's slices and of AWS' cores, which HAMi describes by node, there is no row.
"""

from __future__ import annotations

from dataclasses import dataclass

LISTED, FIELDS, ENTRIES, METAX = "listed", "fields", "entries", "metax"
"""How a node says which devices it has: in its capacity, as `id,sharers,MiB,…:`, as JSON, as MetaX' JSON."""
INDICES, RUNTIME, PROFILE, PARTS = "indices", "runtime", "profile", "parts"
"""What else a device plugin reads of a pod: `0,3`; Ascend's JSON; Cambricon's `0_30_16`; MetaX' JSON."""
SECONDS, NANOSECONDS, NODE, UNASSIGNED = "seconds", "nanoseconds", "node", "unassigned"
"""The time of the decision, the node's name, and `false` for a device plugin that is to act."""


@dataclass(frozen=True)
class Template:
    """A part of a fixed size."""

    name: str
    memory: int
    """MiB."""
    share: int = 0
    """Hundredths of the device that it takes, by what it takes most of; 0 where its memory alone counts."""


@dataclass(frozen=True)
class Maker:
    """One sort of device."""

    word: str
    """HAMi's word for it, in annotations of pods."""
    resource: str
    """Resource whose number a pod asks for."""
    allocated: str
    """Annotation of pods: which devices a pod holds."""
    to_allocate: str = ""
    """The same, struck off by the device plugin as it hands them out; empty where there is none."""
    memory: str = ""
    """Resource for memory of each device; empty where devices are whole."""
    cores: str = ""
    """Resource for power of each device."""
    unit: int = 1
    """MiB that one of `memory` is."""
    suffixed: bool = False
    """Whether `memory` with a suffix, such as `2Gi`, is bytes."""
    full: int = 100
    """How many of `cores` a whole device is."""
    full_unless_said: bool = False
    """Whether a pod that says nothing of `cores` wants all of them, so that nobody else has a part."""
    units_of_device: bool = False
    """Whether annotations count cores in units of which the node says how many the device has."""
    says_cores: bool = True
    """Whether annotations say the cores of whole devices and of templates."""
    in_all: bool = False
    """Whether memory and cores are of all devices together."""
    register: str = ""
    """Annotation of nodes that lists their devices, or the resource whose capacity counts them."""
    form: str = FIELDS
    """How it is written: one of the four above."""
    handshake: str = ""
    """Annotation of nodes that will list them, but may not have yet."""
    id: str = ""
    """Of devices that a capacity counts: their ids, of the node's name and the device's number."""
    use_ids: tuple[str, ...] = ()
    """Annotations of pods: the devices that will do."""
    not_ids: tuple[str, ...] = ()
    """The same: those that will not."""
    use_models: str = ""
    not_models: str = ""
    templates: tuple[Template, ...] = ()
    """The parts there are, smallest first; empty where any part may be asked for."""
    exact: bool = False
    """Whether memory must be that of a template; else the next larger one is given."""
    capacity: int = 0
    """MiB of a whole device, where templates or HAMi's records need it."""
    alone: bool = False
    """Whether a pod that asks for a part asks for one device."""
    alike: bool = False
    """Whether the parts of a device must be of one size."""
    module: int = 1
    """So many devices, by their numbers, are one piece of hardware and go together."""
    near: int = 0
    """So many devices, by their numbers, are nearer to each other than to the rest; 0 for nobody knows."""
    group: str = ""
    """Field of a registered device that says which others are near."""
    soft_mode: tuple[str, str, str] = ("", "", "")
    """Annotation of pods and its value for parts cut by software, of any size; and that of nodes that can."""
    only: tuple[tuple[str, str], ...] = ()
    """Annotations of pods of which no other value can be kept here."""
    notes: tuple[tuple[str, str], ...] = ()
    """Further annotations of pods, and what is in them."""


def _ascend(
    word: str,
    capacity: int,
    templates: tuple[tuple[str, int, int, int], ...],
    cores: int,
    cpus: int,
    module: int,
) -> Maker:
    """An Ascend NPU: templates by name, MiB, AI cores and AI CPUs, of so many of each (0: not counted)."""
    return Maker(
        word=word,
        resource=f"huawei.com/{word}",
        memory=f"huawei.com/{word}-memory",
        cores=f"huawei.com/{word}-core",
        says_cores=False,
        register=f"hami.io/node-register-{word}",
        form=ENTRIES,
        handshake=f"hami.io/node-handshake-{word}",
        to_allocate=f"hami.io/{word}-devices-to-allocate",
        allocated=f"hami.io/{word}-devices-allocated",
        use_ids=(f"hami.io/use-{word}-uuid",),
        not_ids=(f"hami.io/no-use-{word}-uuid",),
        templates=tuple(
            Template(name, memory, max(own * 100 // cores, cpu * 100 // cpus if cpus else 0))
            for name, memory, own, cpu in templates
        ),
        capacity=capacity,
        alone=True,
        module=module,
        group="NetworkID",
        soft_mode=("huawei.com/vnpu-mode", "hami-core", "hami-vnpu-core"),
        notes=((f"huawei.com/{word}", RUNTIME), ("predicate-time", SECONDS)),
    )


def _iluvatar(chip: str) -> Maker:
    return Maker(
        word=chip,
        resource=f"iluvatar.ai/{chip}-vgpu",
        memory=f"iluvatar.ai/{chip}.vMem",
        cores=f"iluvatar.ai/{chip}.vCore",
        unit=256,
        alone=True,
        register=f"hami.io/node-{chip}-register",
        handshake=f"hami.io/node-handshake-{chip}",
        to_allocate=f"hami.io/{chip}-devices-to-allocate",
        allocated=f"hami.io/{chip}-devices-allocated",
        use_ids=(f"hami.io/use-{chip}-uuid",),
        not_ids=(f"hami.io/no-use-{chip}-uuid",),
    )


def _registered(word: str, resource: str, tail: str, domain: str) -> Maker:
    """A maker whose devices are given whole, as its device plugin registers them."""
    return Maker(
        word=word,
        resource=resource,
        says_cores=False,
        register=f"hami.io/node-{tail}-register",
        form=ENTRIES,
        handshake=f"hami.io/node-handshake-{tail}",
        to_allocate=f"hami.io/{word}-devices-to-allocate",
        allocated=f"hami.io/{word}-devices-allocated",
        use_ids=(f"{domain}/use-gpuuuid",),
        not_ids=(f"{domain}/nouse-gpuuuid",),
        group="AIC",
    )


_B4 = (("vir05_1c_16g", 16384, 5, 1), ("vir10_3c_32g", 32768, 10, 3))
_A = (("vir02", 2184, 2, 0), ("vir04", 4369, 4, 0), ("vir08", 8738, 8, 0), ("vir16", 17476, 16, 0))
_B2 = (("vir03_1c_8g", 8192, 3, 1), ("vir06_1c_16g", 16384, 6, 1), ("vir12_3c_32g", 32768, 12, 3))
_P = (("vir01", 3072, 1, 1), ("vir02", 6144, 2, 2), ("vir04", 12288, 4, 4))

MAKERS: tuple[Maker, ...] = (
    _ascend("Ascend910A", 32768, _A, cores=30, cpus=0, module=1),
    _ascend("Ascend910B2", 65536, _B2, cores=24, cpus=6, module=1),
    _ascend("Ascend910B3", 65536, _B4, cores=20, cpus=7, module=1),
    _ascend("Ascend910B4-1", 65536, _B4, cores=20, cpus=7, module=1),
    _ascend(
        "Ascend910B4",
        32768,
        (("vir05_1c_8g", 8192, 5, 1), ("vir10_3c_16g", 16384, 10, 3)),
        cores=20,
        cpus=7,
        module=1,
    ),
    _ascend("Ascend910C", 65536, _B4, cores=20, cpus=7, module=2),
    _ascend("Ascend310P", 24576, _P, cores=8, cpus=7, module=1),
    Maker(
        word="MLU",
        resource="cambricon.com/vmlu",
        memory="cambricon.com/mlu.smlu.vmemory",
        cores="cambricon.com/mlu.smlu.vcore",
        unit=256,
        full_unless_said=True,
        alone=True,
        register="cambricon.com/mlu.smlu.vcore",
        form=LISTED,
        id="{node}-cambricon-mlu-{number}",
        to_allocate="hami.io/cambricon-mlu-devices-to-allocate",
        allocated="hami.io/cambricon-mlu-devices-allocated",
        use_ids=("cambricon.com/use-gpuuuid",),
        not_ids=("cambricon.com/nouse-gpuuuid",),
        notes=(("CAMBRICON_DSMLU_PROFILE", PROFILE), ("CAMBRICON_DSMLU_ASSIGNED", UNASSIGNED)),
    ),
    Maker(
        word="DCU",
        resource="hygon.com/dcunum",
        memory="hygon.com/dcumem",
        cores="hygon.com/dcucores",
        full_unless_said=True,
        register="hami.io/node-dcu-register",
        handshake="hami.io/node-handshake-dcu",
        to_allocate="hami.io/dcu-devices-to-allocate",
        allocated="hami.io/dcu-devices-allocated",
        use_ids=("hygon.com/use-gpuuuid",),
        not_ids=("hygon.com/nouse-gpuuuid",),
        use_models="hygon.com/use-dcutype",
        not_models="hygon.com/nouse-dcutype",
    ),
    _iluvatar("MR-V100"),
    _iluvatar("MR-V50"),
    _iluvatar("BI-V150"),
    _iluvatar("BI-V100"),
    Maker(
        word="Mthreads",
        resource="mthreads.com/vgpu",
        memory="mthreads.com/sgpu-memory",
        cores="mthreads.com/sgpu-core",
        unit=512,
        full=16,
        in_all=True,
        alone=True,
        register="mthreads.com/sgpu-core",
        form=LISTED,
        id="{node}-mthreads-{number}",
        allocated="hami.io/mthreads-vgpu-devices-allocated",
        use_ids=("mthreads.ai/use-gpuuuid",),
        not_ids=("mthreads.ai/nouse-gpuuuid",),
        templates=tuple(Template(f"{units}", units * 512) for units in (2, 4, 8, 16, 32, 64, 96)),
        exact=True,
        capacity=96 * 512,
        notes=(
            ("mthreads.com/gpu-index", INDICES),
            ("mthreads.com/predicate-node", NODE),
            ("mthreads.com/predicate-time", NANOSECONDS),
        ),
    ),
    Maker(
        word="Metax-GPU",
        resource="metax-tech.com/gpu",
        register="metax-tech.com/gpu",
        form=LISTED,
        full=1,
        capacity=65536,
        id="{node}-metax-{number}",
        to_allocate="hami.io/metax-gpu-devices-to-allocate",
        allocated="hami.io/metax-gpu-devices-allocated",
    ),
    Maker(
        word="Metax-SGPU",
        resource="metax-tech.com/sgpu",
        memory="metax-tech.com/vmemory",
        cores="metax-tech.com/vcore",
        unit=1024,
        suffixed=True,
        full_unless_said=True,
        register="metax-tech.com/node-gpu-devices",
        form=METAX,
        to_allocate="hami.io/metax-sgpu-devices-to-allocate",
        allocated="hami.io/metax-sgpu-devices-allocated",
        use_ids=("metax-tech.com/use-gpuuuid",),
        not_ids=("metax-tech.com/nouse-gpuuuid",),
        only=(("metax-tech.com/sgpu-qos-policy", "best-effort"), ("metax-tech.com/sgpu-app-class", "")),
        notes=(
            ("metax-tech.com/gpu-devices-allocated", PARTS),
            ("metax-tech.com/predicate-time", NANOSECONDS),
        ),
    ),
    Maker(
        word="GCU",
        resource="enflame.com/gcu",
        register="enflame.com/gcu",
        form=LISTED,
        full=1,
        capacity=100,
        id="{node}-GCU-{number}",
        to_allocate="hami.io/enflame-gcu-devices-to-allocate",
        allocated="hami.io/enflame-gcu-devices-allocated",
    ),
    Maker(
        word="kunlun",
        resource="kunlunxin.com/xpu",
        says_cores=False,
        register="kunlunxin.com/xpu",
        form=LISTED,
        full=1,
        capacity=98304,
        id="{node}-kunlun-{number}",
        allocated="hami.io/kunlun-allocated",
        use_ids=("hami.io/use-xpu-uuid", "baidu.com/use-gpuuuid"),
        not_ids=("hami.io/no-use-xpu-uuid", "baidu.com/nouse-gpuuuid"),
        near=4,
        notes=(("BAIDU_COM_DEVICE_IDX", INDICES),),
    ),
    Maker(
        word="XPU",
        resource="kunlunxin.com/vxpu",
        memory="kunlunxin.com/vxpu-memory",
        register="hami.io/node-register-xpu",
        form=ENTRIES,
        handshake="hami.io/node-handshake-xpu",
        to_allocate="hami.io/xpu-devices-to-allocate",
        allocated="hami.io/xpu-devices-allocated",
        use_ids=("hami.io/use-xpu-uuid", "baidu.com/use-gpuuuid"),
        not_ids=("hami.io/no-use-xpu-uuid", "baidu.com/nouse-gpuuuid"),
        templates=(Template("quarter", 24576, 25), Template("half", 49152, 50)),
        capacity=98304,
        alike=True,
        near=4,
    ),
    Maker(
        word="AMD",
        resource="amd.com/gpu",
        memory="amd.com/gpumem",
        cores="amd.com/gpucores",
        full_unless_said=True,
        units_of_device=True,
        register="hami.io/node-amd-register",
        form=ENTRIES,
        to_allocate="hami.io/amd-devices-to-allocate",
        allocated="hami.io/amd-devices-allocated",
        use_ids=("amd.com/use-gpu-uuid",),
        not_ids=("amd.com/nouse-gpu-uuid",),
        use_models="amd.com/use-gputype",
        not_models="amd.com/nouse-gputype",
    ),
    _registered("Vastai", "vastaitech.com/va", "va", "vastaitech.com"),
    _registered("Biren", "birentech.com/gpu", "biren", "birentech.com"),
)

OF_RESOURCE = {maker.resource: maker for maker in MAKERS}
"""By the resource whose number pods ask for."""
PART_RESOURCES = frozenset(
    name for maker in MAKERS if maker.form != LISTED for name in (maker.memory, maker.cores) if name
)
"""Resources that say which part of each device is asked for, where nodes do not list them."""
ALL_RESOURCES = frozenset(
    name for maker in MAKERS for name in (maker.resource, maker.memory, maker.cores) if name
)
REGISTERS = {maker.register: maker for maker in MAKERS if maker.form != LISTED}
HANDSHAKES = {maker.handshake: maker for maker in MAKERS if maker.handshake}
LISTINGS = {maker.register: maker for maker in MAKERS if maker.form == LISTED}
NOTES = tuple(
    dict.fromkeys(
        key
        for maker in MAKERS
        for key in (maker.allocated, maker.to_allocate, *(name for name, _ in maker.notes))
        if key
    )
)
"""Annotations that `makernotes` writes: none of them is to be taken from a template."""
