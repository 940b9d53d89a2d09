/** A small line chart: time to the right, one line for each series, with its scale, and the same in words. */
import type { JSX } from 'preact';

export interface Series {
  readonly name: string;
  /** null: nothing was measured then. */
  readonly values: readonly (number | null)[];
}

const WIDTH = 320;
const HEIGHT = 132;
const LEFT = 2;
const TOP = 10;
const BOTTOM = 112;
/** Series beyond it share a style. */
const STYLES = 5;

export function Chart({
  title,
  series,
  times,
  format,
  none,
}: {
  title: string;
  series: readonly Series[];
  /** ms since 1970, one for each value. */
  times: readonly number[];
  format: (value: number) => string;
  /** What is said where there is nothing to draw. */
  none: string;
}): JSX.Element {
  const all = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const top = niceTop(Math.max(0, ...all));
  const first = times[0] ?? 0;
  const span = Math.max(1, (times.at(-1) ?? 0) - first);
  const x = (at: number): number => LEFT + ((WIDTH - 2 * LEFT) * (times[at]! - first)) / span;
  const y = (value: number): number => BOTTOM - ((BOTTOM - TOP) * value) / top;
  const minutes = Math.round(span / 60_000);
  const words = series.map(({ name, values }) => inWords(name, values, format)).join(' ');
  const isDrawn = all.length > 0 && times.length > 1;

  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      {isDrawn ? (
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}. ${words}`}>
          {[TOP, (TOP + BOTTOM) / 2].map((at) => (
            <line key={at} class="axis faint" x1={LEFT} x2={WIDTH - LEFT} y1={at} y2={at} />
          ))}
          <line class="axis" x1={LEFT} x2={WIDTH - LEFT} y1={BOTTOM} y2={BOTTOM} />
          <text x={LEFT} y={TOP + 11}>
            {format(top)}
          </text>
          <text x={LEFT} y={(TOP + BOTTOM) / 2 + 11}>
            {format(top / 2)}
          </text>
          <text x={LEFT} y={HEIGHT - 5}>
            {minutes < 1 ? 'less than a minute ago' : `${minutes} min ago`}
          </text>
          <text x={WIDTH - LEFT} y={HEIGHT - 5} text-anchor="end">
            now
          </text>
          {series.length === 1 && <path class="area" d={areaOf(series[0]!.values, x, y)} />}
          {series.map(({ name, values }, at) => (
            <path key={name} class={`line line-${at % STYLES}`} d={pathOf(values, x, y)} />
          ))}
        </svg>
      ) : (
        <div class="chart-none" role="img" aria-label={`${title}. ${none}`}>
          <p>{none}</p>
        </div>
      )}
      <ul class="legend" aria-hidden="true">
        {series.map(({ name, values }, at) => (
          <li key={name}>
            <span class={`swatch line-${at % STYLES}`} /> {name} <strong>{lastOf(values, format)}</strong>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** What is under a line that has no gaps. */
function areaOf(values: readonly (number | null)[], x: (at: number) => number, y: (value: number) => number): string {
  if (values.includes(null)) return '';
  return `${pathOf(values, x, y)}L${x(values.length - 1).toFixed(1)} ${BOTTOM}L${x(0).toFixed(1)} ${BOTTOM}z`;
}

/** Gaps where nothing was measured; a lone value is a dot. */
function pathOf(values: readonly (number | null)[], x: (at: number) => number, y: (value: number) => number): string {
  let path = '';
  let isDown = false;
  for (const [at, value] of values.entries()) {
    if (value === null) {
      isDown = false;
      continue;
    }
    path += `${isDown ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}${isDown ? '' : 'h.1'}`;
    isDown = true;
  }
  return path;
}

/** 1, 2 or 5 times a power of ten, at or above it. */
function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value) ?? value;
}

function lastOf(values: readonly (number | null)[], format: (value: number) => string): string {
  const last = values.at(-1) ?? null;
  return last === null ? '–' : format(last);
}

function nowOf(values: readonly (number | null)[], format: (value: number) => string): string {
  const last = values.at(-1) ?? null;
  return last === null ? 'nothing measured now' : `${format(last)} now`;
}

function inWords(name: string, values: readonly (number | null)[], format: (value: number) => string): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name}: nothing measured.`;
  return `${name}: ${nowOf(values, format)}, between ${format(Math.min(...known))} and ${format(Math.max(...known))}.`;
}
