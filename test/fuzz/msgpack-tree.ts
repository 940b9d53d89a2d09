/**
 * MessagePack as a tree whose every part can be replaced, also by what no encoder writes: headers that lie, forms that are longer than need be. Byte
 * strings that hold MessagePack themselves (a batch in a message, a body in a batch) are trees in the tree.
 */
import { concat } from '../../protocol/bytes.ts';

/** A number, nil, a boolean, an extension: as it stands. */
interface Atom {
  kind: 'atom';
  bytes: Uint8Array;
}
interface Text {
  kind: 'text' | 'bytes';
  content: Uint8Array;
  inner: Node | null;
  /** What its header says too much. */
  lie: number;
  /** 0 for the shortest header, or how many steps longer. */
  form: number;
}
interface List {
  kind: 'array' | 'map';
  /** Keys and values of a map in turn. */
  items: Node[];
  lie: number;
  form: number;
}
export type Node = Atom | Text | List;
export type { List, Text };

export function isList(node: Node): node is List {
  return node.kind === 'array' || node.kind === 'map';
}

const DEPTH_MAX = 40;

/** null where the bytes are not one value. */
export function parseTree(bytes: Uint8Array): Node | null {
  const reader = { bytes, at: 0 };
  const node = read(reader, 0);
  return node && reader.at === bytes.length ? node : null;
}

function read(reader: { bytes: Uint8Array; at: number }, depth: number): Node | null {
  const { bytes, at } = reader;
  const first = bytes[at];
  if (first === undefined || depth > DEPTH_MAX) return null;
  const atom = (length: number): Node | null => {
    if (at + length > bytes.length) return null;
    reader.at = at + length;
    return { kind: 'atom', bytes: bytes.slice(at, at + length) };
  };
  const number = (width: number): number => {
    let value = 0;
    for (let i = 1; i <= width; i++) value = value * 256 + (bytes[at + i] ?? 0);
    return value;
  };
  const string = (kind: 'text' | 'bytes', head: number, length: number): Node | null => {
    if (at + head + length > bytes.length) return null;
    reader.at = at + head + length;
    const content = bytes.slice(at + head, at + head + length);
    const inner = kind === 'bytes' && length > 2 && (content[0]! & 0xe0) === 0x80 ? parseTree(content) : null;
    return { kind, content, inner, lie: 0, form: 0 };
  };
  const items = (kind: 'array' | 'map', head: number, count: number): Node | null => {
    if (count > bytes.length) return null;
    reader.at = at + head;
    const list: Node[] = [];
    for (let i = 0; i < (kind === 'map' ? 2 * count : count); i++) {
      const item = read(reader, depth + 1);
      if (item === null) return null;
      list.push(item);
    }
    return { kind, items: list, lie: 0, form: 0 };
  };
  if (first <= 0x7f || first >= 0xe0 || (first >= 0xc0 && first <= 0xc3)) return atom(1);
  if (first <= 0x8f) return items('map', 1, first & 15);
  if (first <= 0x9f) return items('array', 1, first & 15);
  if (first <= 0xbf) return string('text', 1, first & 31);
  if (first <= 0xc6) return string('bytes', 1 + (1 << (first - 0xc4)), number(1 << (first - 0xc4)));
  if (first <= 0xc9) return atom(2 + (1 << (first - 0xc7)) + number(1 << (first - 0xc7)));
  if (first <= 0xcb) return atom(first === 0xca ? 5 : 9);
  if (first <= 0xcf) return atom(1 + (1 << (first - 0xcc)));
  if (first <= 0xd3) return atom(1 + (1 << (first - 0xd0)));
  if (first <= 0xd8) return atom(2 + (1 << (first - 0xd4)));
  if (first <= 0xdb) return string('text', 1 + (1 << (first - 0xd9)), number(1 << (first - 0xd9)));
  if (first <= 0xdd) return items('array', 1 + (2 << (first - 0xdc)), number(2 << (first - 0xdc)));
  return items('map', 1 + (2 << (first - 0xde)), number(2 << (first - 0xde)));
}

export function writeTree(node: Node): Uint8Array {
  if (node.kind === 'atom') return node.bytes;
  if (isList(node)) {
    const count = node.kind === 'map' ? node.items.length >> 1 : node.items.length;
    return concat(head(node.kind, count + node.lie, node.form), ...node.items.map(writeTree));
  }
  const content = node.inner ? writeTree(node.inner) : node.content;
  return concat(head(node.kind, content.length + node.lie, node.form), content);
}

const FORMS = {
  array: [0x90, 15, null, 0xdc, 0xdd],
  map: [0x80, 15, null, 0xde, 0xdf],
  text: [0xa0, 31, 0xd9, 0xda, 0xdb],
  bytes: [null, 0, 0xc4, 0xc5, 0xc6],
} as const;

function head(kind: keyof typeof FORMS, size: number, form: number): Uint8Array {
  const [fix, fixMax, one, two, four] = FORMS[kind];
  const length = Math.max(0, size);
  const choices: number[][] = [];
  if (fix !== null && length <= fixMax) choices.push([fix | length]);
  if (one !== null && length < 256) choices.push([one, length]);
  if (length < 65_536) choices.push([two, length >> 8, length & 255]);
  choices.push([four, (length >>> 24) & 255, (length >>> 16) & 255, (length >>> 8) & 255, length & 255]);
  return Uint8Array.from(choices[Math.min(form, choices.length - 1)]!);
}

/** Every node, with those of trees in byte strings; each can be changed where it stands. */
export function nodesOf(root: Node): Node[] {
  const found: Node[] = [root];
  for (const node of found) {
    if (isList(node)) found.push(...node.items);
    else if (node.kind !== 'atom' && node.inner) found.push(node.inner);
  }
  return found;
}
