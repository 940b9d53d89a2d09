/** docs/OPERATIONS.md: its files are what their programs take, its metrics exist, its commands and links lead somewhere. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { isErrorCode } from '../../protocol/errors.ts';
import { checkSettings } from '../../server/config.ts';
import { runCommand } from '../../server/cli/program.ts';
import { startTidelog } from '../support/cli.ts';
import { startTestNode } from '../support/node.ts';
import { has } from '../support/programs.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const page = await readFile(join(ROOT, 'docs/OPERATIONS.md'), 'utf8');
const run = promisify(execFile);

/** The only block in this language. */
function block(language: string): string {
  const found = [...page.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, text]) => text!,
  );
  expect(found, language).toHaveLength(1);
  return found[0]!;
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-operations-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('its files', () => {
  test.skipIf(!has('systemd-analyze', '--version'))(
    'the unit: systemd-analyze has nothing to say (skipped without it)',
    async () => {
      const unit = block('ini').replaceAll('/usr/bin/node', process.execPath).replaceAll('/opt/tidelog', ROOT);
      const path = join(folder, 'tidelog.service');
      const verify = async (text: string): Promise<string> => {
        await writeFile(path, text);
        const { stdout, stderr } = await run('systemd-analyze', ['verify', path]).catch(
          (error: { stdout: string; stderr: string }) => error,
        );
        // Of other units of this machine it may have more to say.
        return `${stdout}${stderr}`
          .split('\n')
          .filter((line) => line.includes('tidelog'))
          .join('\n');
      };
      expect(await verify(unit)).toBe('');
      expect(await verify(unit.replace('Restart=on-failure', 'Restartt=on-failure'))).toContain('Restartt');
    },
  );

  test('the unit starts what there is', async () => {
    const exec = /^ExecStart=\/usr\/bin\/node \/opt\/tidelog\/bin\/tidelog\.js (.*)$/m.exec(block('ini'));
    const node = startTidelog(join(folder, 'data'), [...exec![1]!.split(' '), '--port', '0']);
    await node.line(/"msg":"started"/);
    expect(await node.end('SIGTERM')).toBe(0);
    expect(existsSync(join(ROOT, 'docs/OPERATIONS.md')) && block('ini')).toContain(
      'Documentation=file:///opt/tidelog/docs/OPERATIONS.md',
    );
  });

  test.skipIf(!has('python3', '-c', 'import plistlib'))(
    'the property list is one, and starts the same (skipped without Python)',
    async () => {
      const path = join(folder, 'node.plist');
      await writeFile(path, block('xml'));
      const script = 'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))';
      const plist = JSON.parse((await run('python3', ['-c', script, path])).stdout) as Record<string, unknown>;
      expect(plist).toMatchObject({
        ProgramArguments: ['/usr/local/bin/node', '/opt/tidelog/bin/tidelog.js', 'start', '--log', 'json'],
        Umask: 0o077,
        KeepAlive: { SuccessfulExit: false },
      });
    },
  );

  test('the container file copies what the package has, and runs a command that works', async () => {
    const text = block('dockerfile');
    const copied = [...text.matchAll(/^COPY (\S+) \.\/\1$/gm)].map(([, name]) => name!);
    for (const name of copied) expect(existsSync(join(ROOT, name)), name).toBe(true);
    const { files } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    const programs = files.filter((name) => !['docs', '!docs/screens', 'LICENSE', 'README.md'].includes(name));
    expect(copied.toSorted()).toEqual(programs.toSorted());
    expect(text).toMatch(/^FROM node:22-/);
    const [program, script, ...args] = JSON.parse(/^CMD (\[.*\])$/m.exec(text)![1]!) as string[];
    expect([program, script]).toEqual(['node', 'bin/tidelog.js']);
    const node = startTidelog(join(folder, 'data'), [...args, '--port', '0']);
    const started = JSON.parse(await node.line(/"msg":"started"/)) as { url: string };
    const probe = JSON.parse(/^HEALTHCHECK CMD (\[.*\])$/m.exec(text)![1]!) as string[];
    const check = (url: string) => run(process.execPath, ['-e', probe[2]!.replace('http://127.0.0.1:7600', url)]);
    await check(started.url);
    await node.end('SIGTERM');
    await expect(check(started.url)).rejects.toMatchObject({ code: 1 });
  });

  test.skipIf(!has('nginx', '-v') || !has('openssl', 'version'))(
    'nginx takes its configuration (skipped without nginx)',
    async () => {
      const [certificate, key] = [join(folder, 'tls.pem'), join(folder, 'tls.key')];
      await run('openssl', [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        '/CN=sync.example.org',
        '-keyout',
        key,
        '-out',
        certificate,
      ]);
      const text = block('nginx')
        .replace(/\/etc\/ssl\/\S+\.pem/, certificate)
        .replace(/\/etc\/ssl\/\S+\.key/, key);
      await writeFile(
        join(folder, 'nginx.conf'),
        `pid ${folder}/pid; error_log stderr; events {}\nhttp {\naccess_log off;\n${text}}\n`,
      );
      await run('nginx', ['-t', '-p', folder, '-c', join(folder, 'nginx.conf')]);
    },
  );

  test.skipIf(!has('caddy', 'version'))('Caddy takes its configuration (skipped without Caddy)', async () => {
    await writeFile(join(folder, 'Caddyfile'), block('caddy'));
    await run('caddy', ['validate', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')]);
  });

  test('the settings behind a proxy are settings', () => {
    expect(checkSettings(JSON.parse(block('json')) as Record<string, unknown>)).toHaveProperty('hostNames');
  });
});

test('its metrics are those of a node, all of its own among them', async () => {
  const node = await startTestNode();
  try {
    await node.peer.homeSpace();
    const text = await (await node.request('GET', '/metrics')).text();
    const real = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!));
    const named = new Set(
      [...page.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name!).filter((name) => /_/.test(name)),
    );
    for (const name of named) expect(real, name).toContain(name);
    for (const name of real) if (name.startsWith('tidelog_')) expect(named, name).toContain(name);
  } finally {
    await node.dispose();
  }
});

test('its codes are error codes, its commands are commands, its links lead somewhere', async () => {
  const codes = [...page.matchAll(/^\| `([a-z]+-[a-z]+)` /gm)].map(([, code]) => code!);
  expect(codes.length).toBeGreaterThan(4);
  for (const code of codes) expect(isErrorCode(code), code).toBe(true);
  const commands = new Set([...page.matchAll(/`tidelog ([a-z]+)/g)].map(([, name]) => name!));
  for (const name of commands) expect(await runCommand([name, '--help']), name).toBe(0);
  for (const [, link] of page.matchAll(/\]\(([^)#]+)\)/g))
    expect(existsSync(join(ROOT, 'docs', link!)), link).toBe(true);
});
