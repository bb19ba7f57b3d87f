import type { Random } from "../../random.ts";
import { add, below, both, ellipse, fill, stroke, without } from "./canvas.ts";
import type { Chest } from "./chest.ts";
import { direction, strengthOf } from "./finding.ts";
import type { Finding, Zone } from "./finding.ts";

/** Height of a zone's middle, as a share of the lung's half height from its centre. */
const zoneHeight: Readonly<Record<Zone, number>> = { upper: -0.55, mid: -0.05, lower: 0.42 };

/**
 * Draws one finding. Those that change the anatomy itself (cardiomegaly; the inflation of emphysema; the volume
 * loss of atelectasis) have been drawn with it.
 *
 * @param contrast how strongly findings show
 */
export function drawFinding(chest: Chest, finding: Finding, contrast: number, random: Random): void {
  const { canvas, lungs, middle } = chest;
  const { side, zone } = finding;
  const out = direction[side];
  const inside = lungs[side];
  const { x, y, rx, ry } = chest.lung[side];
  const strength = contrast * strengthOf(finding);
  const jitter = (spread: number): number => spread * (2 * random.next() - 1);
  const at = (height: number): [number, number] => [x + jitter(0.4 * rx), y + ry * height + jitter(0.1 * ry)];
  const opacity = (
    [cx, cy]: readonly [number, number],
    size: number,
    density: number,
    { soft = 0.5, flat = 1 }: { readonly soft?: number; readonly flat?: number } = {},
  ): void => add(canvas, both(ellipse(cx, cy, size, size * flat, { soft }), inside), density * strength);

  switch (finding.label) {
    case "Cardiomegaly":
    case "Emphysema":
      return;
    case "Atelectasis": {
      const base = chest.dome[side] - 0.05 + jitter(0.015);
      for (const lift of [0, 0.035]) {
        const band: [number, number][] = [
          [x - out * 0.6 * rx, base - lift],
          [x + out * 0.75 * rx, base - lift - 0.02 + jitter(0.015)],
        ];
        add(canvas, both(stroke(band, 0.02), inside), 0.22 * strength);
      }
      return;
    }
    case "Effusion": {
      const level = chest.dome[side] + 0.045 - 0.075 * strengthOf(finding);
      // The fluid climbs at the chest wall: a meniscus.
      const meniscus = below((u) => level - 0.08 * Math.max(0, (out * (u - x)) / rx) ** 2, 0.025);
      add(canvas, both(meniscus, inside), 0.24 * contrast);
      return;
    }
    case "Infiltration":
      for (let patch = 0; patch < 6; patch++) {
        opacity([x + jitter(0.6 * rx), y + jitter(0.6 * ry)], 0.045 + 0.025 * random.next(), 0.15, {
          soft: 0.9,
        });
      }
      return;
    case "Mass":
      return opacity(at(zoneHeight[zone]), 0.075, 0.32, { soft: 0.2 });
    case "Nodule":
      return opacity(at(zoneHeight[zone]), 0.042, 0.45, { soft: 0.25 });
    case "Pneumonia": {
      const centre: readonly [number, number] = [x + jitter(0.2 * rx), y + ry * 0.3 + jitter(0.08)];
      opacity(centre, 0.12, 0.14, { soft: 0.9, flat: 0.8 });
      for (let patch = 0; patch < 5; patch++) {
        opacity([centre[0] + jitter(0.08), centre[1] + jitter(0.07)], 0.03, 0.14, { soft: 0.6 });
      }
      return;
    }
    case "Pneumothorax": {
      const collapsed = ellipse(x - out * 0.035, y + 0.06, rx * 0.82, ry * 0.92, { soft: 0.03 });
      add(canvas, without(inside, collapsed), -0.09 * strength);
      const rim = without(
        collapsed,
        ellipse(x - out * 0.035, y + 0.06, rx * 0.74, ry * 0.88, { soft: 0.03 }),
      );
      add(canvas, both(rim, inside), 0.09 * strength);
      return;
    }
    case "Consolidation":
      return opacity([x + jitter(0.1 * rx), y + ry * zoneHeight[zone]], 0.115, 0.36, {
        soft: 0.25,
        flat: 0.8,
      });
    case "Edema":
      for (const both of [-1, 1]) {
        const wing = ellipse(middle + both * 0.15, 0.46, 0.1, 0.17, { soft: 0.8 });
        add(canvas, wing, 0.09 * strength);
      }
      return;
    case "Fibrosis":
      opacity([x, y + ry * 0.35], 0.13, 0.08, { soft: 0.8 });
      for (let line = 0; line < 14; line++) {
        const from: [number, number] = [x + out * jitter(0.8 * rx), y + ry * (0.1 + 0.5 * random.next())];
        const to: [number, number] = [from[0] + jitter(0.06), from[1] + jitter(0.06)];
        add(canvas, both(stroke([from, to], 0.01), inside), 0.2 * strength);
      }
      return;
    case "Pleural_Thickening": {
      const inner = ellipse(x - out * 0.03, y + 0.01, rx * 0.93, ry * 1.02, { soft: 0.05 });
      const outer = ellipse(x, y, rx * 1.03, ry * 1.02, { soft: 0.04 });
      const lateral = ellipse(x + out * rx, y + ry * zoneHeight[zone] * 0.6, rx * 0.6, ry * 0.6, {
        soft: 0.3,
      });
      add(canvas, both(without(outer, inner), lateral), 0.32 * strength);
      return;
    }
    case "Hernia": {
      const sac: readonly [number, number] = [middle + 0.04 + jitter(0.02), 0.68];
      add(canvas, ellipse(...sac, 0.085, 0.075, { soft: 0.15 }), 0.06 * strength);
      // Swallowed air in the sac is the sign that tells it from the heart.
      fill(
        canvas,
        ellipse(sac[0], sac[1] - 0.015, 0.05, 0.035, { soft: 0.25 }),
        0.7 - 0.09 * Math.min(2, strength),
      );
      return;
    }
  }
}
