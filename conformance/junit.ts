/** JUnit's XML, as CI systems read it: one suite for each chapter. */
import type { Result } from './run.ts';

export function formatJunit(name: string, results: readonly Result[]): string {
  const byChapter = Map.groupBy(results, ({ id }) => id.split(/[./]/, 1)[0]!);
  const suites = [...byChapter].map(([chapter, cases]) => formatSuite(`${name} ${chapter}`, cases));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts(results)}>\n${suites.join('')}</testsuites>\n`;
}

function formatSuite(name: string, cases: readonly Result[]): string {
  return `  <testsuite name="${escape(name)}" ${counts(cases)}>\n${cases.map(formatCase).join('')}  </testsuite>\n`;
}

function formatCase({ id, title, rule, outcome, reason, transcript, ms }: Result): string {
  const head = `    <testcase classname="${escape(id.split('/', 1)[0]!)}" name="${escape(`${id} ${title}`)}" time="${ms / 1000}"`;
  const text = escape([reason, `rule: ${rule}`, ...transcript].join('\n'));
  switch (outcome) {
    case 'passed':
      return `${head}/>\n`;
    case 'skipped':
      return `${head}><skipped message="${escape(reason ?? '')}"/></testcase>\n`;
    case 'failed':
      return `${head}><failure message="${escape(reason ?? '')}">${text}</failure></testcase>\n`;
    case 'warned':
      return `${head}><system-out>${text}</system-out></testcase>\n`;
  }
}

function counts(results: readonly Result[]): string {
  const count = (outcome: Result['outcome']): number => results.filter((each) => each.outcome === outcome).length;
  const seconds = results.reduce((sum, { ms }) => sum + ms, 0) / 1000;
  return `tests="${results.length}" failures="${count('failed')}" skipped="${count('skipped')}" time="${seconds.toFixed(3)}"`;
}

function escape(text: string): string {
  return (
    text
      // XML has no way to write them.
      // eslint-disable-next-line no-control-regex -- they are what this removes
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
  );
}
