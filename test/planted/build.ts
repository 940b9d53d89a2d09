/** A copy of this implementation, as it is or with one mistake in it, in a folder of its own. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { editsOf, type Edit, type PlantedBug } from './bug.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

const PRODUCT = ['protocol', 'client', 'server', 'conformance', 'bin', 'package.json'];

const FORMS = {
  /**
   * Plain JavaScript, for the kit, which starts a program some thousand times: Node takes twice as long to start where it has to strip types first. The
   * node by bin/, the program that connects by test/conformance/client.js.
   */
  programs: { parts: [...PRODUCT, 'test/conformance'], isStripped: true },
  simulation: {
    parts: ['protocol', 'client', 'test/sim', 'test/support/run.ts', 'bench/report.ts', 'package.json'],
    isStripped: false,
  },
  tests: {
    parts: [...PRODUCT, 'test', 'bench/report.ts', 'vitest.config.ts', 'tsconfig.json', 'tsconfig.base.json'],
    isStripped: false,
  },
} as const;

export interface Build {
  readonly root: string;
  remove(): Promise<void>;
}

/** The edits that a file needs. Throws where one does not fit: its text must stand in the file exactly once. */
export function patched(id: string, source: string, { file, find, replace }: Edit): string {
  const found = source.split(find).length - 1;
  if (found !== 1) throw new Error(`planted bug ${id}: its text stands ${found} times in ${file}, and should once`);
  return source.replace(find, () => replace);
}

export async function build(bug: PlantedBug | null, form: keyof typeof FORMS): Promise<Build> {
  const { parts, isStripped } = FORMS[form];
  const left = new Set(bug ? editsOf(bug) : []);
  const root = await mkdtemp(join(tmpdir(), `tidelog-build-${bug?.id ?? 'as-it-is'}-`));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    for (const path of (await Promise.all(parts.map(filesIn))).flat()) {
      let source: string | Uint8Array = await readFile(join(ROOT, path));
      for (const edit of left) {
        if (edit.file !== path) continue;
        source = patched(bug!.id, source.toString(), edit);
        left.delete(edit);
      }
      const isCode = path.endsWith('.ts');
      if (isStripped && (isCode || path.endsWith('.js')))
        source = withJsImports(isCode ? stripTypeScriptTypes(source.toString()) : source.toString());
      const to = join(root, isStripped ? path.replace(/\.ts$/, '.js') : path);
      await mkdir(dirname(to), { recursive: true });
      await writeFile(to, source);
    }
    for (const { file } of left) throw new Error(`planted bug ${bug!.id}: there is no ${file}`);
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    return { root, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Paths from the root. */
async function filesIn(part: string): Promise<string[]> {
  if (part.includes('.')) return [part];
  const entries = await readdir(join(ROOT, part), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(ROOT.length + 1));
}

function withJsImports(source: string): string {
  return source.replaceAll(/((?:from|import) '\.[^']*|import\('\.[^']*)\.ts'/g, "$1.js'");
}
