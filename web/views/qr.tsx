/** A QR code as one path. Dark on light whatever the page's colours are: cameras need it that way round. */
import { encodeQR } from 'qr';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';

/** Modules of quiet around it: what the standard asks for. */
const BORDER = 4;

export function Qr({ text, label }: { text: string; label: string }): JSX.Element {
  const { path, size } = useMemo(() => {
    const rows = encodeQR(text, 'raw', { ecc: 'low', border: BORDER });
    const cells = rows.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
    return { path: cells.join(''), size: rows.length };
  }, [text]);
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
