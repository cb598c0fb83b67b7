"""Data sets, transforms and batches: from files (or the room generator) to tensors.

To add a data set of files: declare a `FileDataset`, as `nyud.py` does, and add it to `DATASETS` in
`loading.py`. Others derive from `MultiTaskDataset`, and give raw samples from `load`.
"""

from pamm.data.dataset import MultiTaskDataset
from pamm.data.file_dataset import FileDataset
from pamm.data.folder import Folder
from pamm.data.loading import (
    DATASETS,
    DataConfig,
    build_dataset,
    dataset_description,
    dataset_tasks,
    dataset_type,
    eval_dataset,
    evaluation_batches,
    file_dataset_type,
    member_configs,
    train_dataset,
    training_batches,
)
from pamm.data.nyud import NYUD
from pamm.data.order import Draw
from pamm.data.pascal_context import PascalContext
from pamm.data.prepare import prepare
from pamm.data.preview import preview
from pamm.data.sample import Batch, Sample, collate
from pamm.data.several import Several
from pamm.data.synthetic import Rooms, Synthetic
from pamm.data.transforms import (
    EvalTransform,
    TrainTransform,
    Transform,
)
from pamm.data.verify import Finding, Report, verify
from pamm.data.write_layout import WRITERS, write_folder_layout, write_nyud_layout
from pamm.runtime.select import select_tasks

__all__ = [
    "DATASETS",
    "NYUD",
    "WRITERS",
    "Batch",
    "DataConfig",
    "Draw",
    "EvalTransform",
    "FileDataset",
    "Finding",
    "Folder",
    "MultiTaskDataset",
    "PascalContext",
    "Report",
    "Rooms",
    "Sample",
    "Several",
    "Synthetic",
    "TrainTransform",
    "Transform",
    "build_dataset",
    "collate",
    "dataset_description",
    "dataset_tasks",
    "dataset_type",
    "eval_dataset",
    "evaluation_batches",
    "file_dataset_type",
    "member_configs",
    "prepare",
    "preview",
    "select_tasks",
    "train_dataset",
    "training_batches",
    "verify",
    "write_folder_layout",
    "write_nyud_layout",
]
