"""Train a small super-resolution network:  python examples/train_sr.py PAIRS [OTHER_PAIRS_TO_TEST_ON]"""

import sys
from collections.abc import Iterator
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sdflow_data import PairedShards

STEPS, BATCH, CROP, WIDTH, BLOCKS = 500, 16, 64, 32, 4


class SmallSR(nn.Module):
    """Bicubic enlargement, and what a few convolutions at LR size add to it."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.bicubic = nn.Upsample(scale_factor=scale, mode="bicubic")
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1)]
        for _ in range(BLOCKS):
            layers += [nn.LeakyReLU(0.1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)]
        layers += [nn.LeakyReLU(0.1), nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
        self.residual = nn.Sequential(*layers)

    def forward(self, lr: Tensor) -> Tensor:  # (B, 3, H, W) in [0, 1] -> (B, 3, sH, sW)
        return self.bicubic(lr) + self.residual(lr)


def batches(pairs: PairedShards) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(pairs, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    for epoch in count():
        pairs.set_epoch(epoch)  # other crops, flips and turns
        yield from loader


@torch.no_grad()
def psnr(enlarge: nn.Module, pairs: PairedShards) -> float:
    """Mean over up to 64 whole patches from everywhere in a dataset."""
    chosen = [pairs[index] for index in range(0, len(pairs), 1 + len(pairs) // 64)]
    errors = [F.mse_loss(enlarge(lr[None]).clamp(0, 1), hr[None]) for hr, lr in chosen]
    return float(-10 * torch.stack(errors).log10().mean())


if __name__ == "__main__":
    pairs, test = PairedShards(sys.argv[1], crop=CROP, augment=True), PairedShards(sys.argv[-1])
    model = SmallSR(pairs.scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step, (hr, lr) in enumerate(islice(batches(pairs), STEPS), start=1):
        loss = F.l1_loss(model(lr), hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: L1 {loss.item():.4f}", flush=True)
    print(f"PSNR {psnr(model, test):.2f} dB; bicubic {psnr(model.bicubic, test):.2f} dB")
