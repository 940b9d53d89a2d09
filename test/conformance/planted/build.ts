/**
 * A copy of this implementation, as it is or with one mistake in it, in plain JavaScript: the kit starts a program some thousand times, and Node takes
 * twice as long to start where it has to strip types first.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PlantedBug } from './bugs.ts';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');

/** What an implementation needs to run: the node by bin/, the program that connects by test/conformance/client.ts. */
const PARTS = ['protocol', 'client', 'server', 'conformance', 'bin', 'test/conformance'];

export interface Build {
  readonly root: string;
  remove(): Promise<void>;
}

/** Throws where a patch does not fit: its text must stand in the file exactly once. */
export async function build(bug: PlantedBug | null): Promise<Build> {
  const patches = new Map<string, PlantedBug | NonNullable<PlantedBug['also']>[number]>();
  if (bug) for (const edit of [bug, ...(bug.also ?? [])]) patches.set(edit.file, edit);
  const root = await mkdtemp(join(tmpdir(), `tidelog-build-${bug?.id ?? 'as-it-is'}-`));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    for (const part of PARTS) {
      for (const entry of await readdir(join(ROOT, part), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name).slice(ROOT.length + 1);
        let source = await readFile(join(ROOT, path), 'utf8');
        const patch = patches.get(path);
        if (patch) {
          const found = source.split(patch.find).length - 1;
          if (found !== 1)
            throw new Error(`planted bug ${bug!.id}: its text stands ${found} times in ${path}, and should once`);
          source = source.replace(patch.find, () => patch.replace);
          patches.delete(path);
        }
        const to = join(root, path.replace(/\.ts$/, '.js'));
        await mkdir(dirname(to), { recursive: true });
        await writeFile(to, withJsImports(path.endsWith('.ts') ? stripTypeScriptTypes(source) : source));
      }
    }
    const [left] = patches.keys();
    if (left !== undefined) throw new Error(`planted bug ${bug!.id}: there is no ${left}`);
    await writeFile(join(root, 'package.json'), await readFile(join(ROOT, 'package.json')));
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    return { root, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function withJsImports(source: string): string {
  return source.replaceAll(/((?:from|import) '\.[^']*|import\('\.[^']*)\.ts'/g, "$1.js'");
}
