"""The like of train_sr.py with Lightning:  python examples/train_sr_lightning.py PAIRS

Pairs are streamed, as suits a dataset that is larger than memory, on one device or many.
"""

import sys

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sdflow_data import PairedShards, StreamedPairs

EPOCHS, BATCH, CROP, WIDTH = 2, 16, 64, 32


class SmallSR(lightning.LightningModule):
    """Bicubic enlargement, and what two convolutions at LR size add to it."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.bicubic = nn.Upsample(scale_factor=scale, mode="bicubic")
        self.residual = nn.Sequential(
            nn.Conv2d(3, WIDTH, 5, padding=2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, lr: Tensor) -> Tensor:  # (B, 3, H, W) in [0, 1] -> (B, 3, sH, sW)
        return self.bicubic(lr) + self.residual(lr)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        hr, lr = batch
        loss = F.l1_loss(self(lr), hr)
        self.log("l1", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Pairs(lightning.LightningDataModule):
    """Streams a dataset; every device gets other samples, every epoch another order and other crops."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.pairs = PairedShards(folder, crop=CROP, augment=True)

    def train_dataloader(self) -> DataLoader:  # once an epoch, when the devices know of each other
        stream = StreamedPairs(self.pairs)
        stream.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        return DataLoader(stream, BATCH, num_workers=2)


if __name__ == "__main__":
    data = Pairs(sys.argv[1])
    trainer = lightning.Trainer(max_epochs=EPOCHS, reload_dataloaders_every_n_epochs=1)
    trainer.fit(SmallSR(data.pairs.scale), data)
    print(f"L1 {trainer.callback_metrics['l1']:.4f}")
