/** The README says what is so: its commands exist and do what it shows, its library example runs, its links lead somewhere. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
const packageJson = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const execute = promisify(execFile);

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1]!);
}

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-readme-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function tidelog(...args: string[]): Promise<string> {
  const { stdout } = await execute(process.execPath, [join(ROOT, 'bin/tidelog.js'), ...args], {
    env: { ...process.env, TIDELOG_DATA: join(folder, 'data') },
  });
  return stdout;
}

describe('the README', () => {
  test('names npm scripts that exist', () => {
    const scripts = [...readme.matchAll(/npm (?:run )?([a-z:]+)/g)]
      .map((match) => match[1]!)
      .filter((name) => !['ci', 'install'].includes(name));
    expect(scripts.length).toBeGreaterThan(1);
    for (const script of scripts) expect(packageJson.scripts).toHaveProperty(script);
  });

  test('has the test command that CI runs', () => {
    expect(readme).toMatch(/<!-- test command -->\n\n```sh\nnpm ci && npm test\n```/);
  });

  test('links to files that exist', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)]
      .map((match) => match[1]!)
      .filter((link) => !link.startsWith('http'));
    expect(links.length).toBeGreaterThan(4);
    for (const link of links) expect(existsSync(join(ROOT, link)), link).toBe(true);
  });

  test('shows a first use that works as typed', async () => {
    const first = blocks('sh').find((block) => block.includes('init --name laptop'))!;
    const commands = first
      .trim()
      .split('\n')
      .filter((line) => !line.includes(' start'));
    let last = '';
    for (const command of commands) last = await tidelog(...command.split(' ').slice(2));
    expect(last).toMatch(/title.*Milk/);
    expect(last).toMatch(/done.*false/);
  });

  test('lists every command that there is, and no other', async () => {
    const help = await tidelog('--help');
    const inHelp = [...help.matchAll(/^ {2}([a-z]+)(?: \[options\])?(?: [<[].*?)? {2,}/gm)]
      .map((match) => match[1]!)
      .filter((name) => name !== 'help');
    const table = readme.slice(readme.indexOf('### Commands'), readme.indexOf('All take'));
    const inReadme = [...table.matchAll(/`([a-z]+)[^`]*`/g)].map((match) => match[1]!);
    expect([...new Set(inReadme)].toSorted()).toEqual([...new Set(inHelp)].toSorted());
  });

  test('has a library example that runs', async () => {
    const [example] = blocks('ts');
    const file = join(ROOT, 'test', 'docs', `example-${process.pid}.ts`);
    await writeFile(file, example!);
    try {
      const { stdout } = await execute(process.execPath, [file], { cwd: folder });
      expect(stdout).toContain("title: 'Milk'");
      expect(stdout).toContain('done: true');
      expect(stdout).toContain('edits: 1');
    } finally {
      await rm(file);
    }
  });
});
