"""BasicSR trains and validates on the file beside an export, as it stands."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pairs import write_dataset

from sdflow_data.export.run import ExportRequest, export

if importlib.util.find_spec("basicsr") is None:
    pytest.skip("needs BasicSR", allow_module_level=True)

TEMPLATE = """\
name: few_steps
model_type: SRModel
scale: 2
num_gpu: 0
manual_seed: 0
datasets:
  train:
    name: theirs
    type: PairedImageDataset
    dataroot_gt: nowhere/HR  # theirs
    dataroot_lq: nowhere/LR
    io_backend:
      type: disk
    gt_size: 64
    num_worker_per_gpu: 1
    batch_size_per_gpu: 64
    dataset_enlarge_ratio: 1
  val:
    name: theirs
    type: PairedImageDataset
    dataroot_gt: nowhere/Set5/HR
    dataroot_lq: nowhere/Set5/LR
    io_backend:
      type: disk
network_g:
  type: MSRResNet
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 8
  num_block: 1
  upscale: 2
path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~
train:
  optim_g:
    type: Adam
    lr: !!float 2e-4
  scheduler:
    type: MultiStepLR
    milestones: [100]
    gamma: 0.5
  total_iter: 3
  warmup_iter: -1
  pixel_opt:
    type: L1Loss
    loss_weight: 1.0
    reduction: mean
val:
  val_freq: 3
  save_img: false
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
logger:
  print_freq: 1
  save_checkpoint_freq: 100
  use_tb_logger: false
"""


@pytest.mark.parametrize("format", ["folder", "lmdb"])
def test_basicsr_trains_and_validates_on_our_file(tmp_path: Path, format: str) -> None:
    dataset = write_dataset(tmp_path / "dataset", scale=4, patch_size=32)
    (tmp_path / "theirs.yml").write_text(TEMPLATE)
    request = ExportRequest(format, "basicsr", split="train=0.6,val=0.4", template=tmp_path / "theirs.yml")
    config = export(dataset, tmp_path / "out", request, workers=1).config
    code = "import real_torchvision, sys, basicsr.train; basicsr.train.train_pipeline(sys.argv.pop())"
    done = subprocess.run(
        [sys.executable, "-c", code, "-opt", str(config), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout + done.stderr
    assert "Number of train images: 18" in printed
    assert "iter:       3" in printed
    assert "Validation sdflow-val" in printed
