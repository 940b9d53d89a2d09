/** Health: what needs a person, how it went in the last hour, and whether there is a backup. */
import type { JSX } from 'preact';

import { useAction, useApp, useLoaded, useNode, useNow } from '../hooks.ts';
import { Loading, Notice, Problem, Sentence } from '../parts.tsx';
import { linkTo, TITLES } from '../route.ts';
import type { Health, Status, Verification } from '../source.ts';
import { ago, bytes, duration, nameOf, number, shortId, timeOfMs } from '../words.ts';
import { warningsOf } from '../warnings.ts';
import { Chart, type Series } from './chart.tsx';

const EVERY_MS = 5000;

export function HealthView(): JSX.Element {
  const { status } = useApp();
  const node = useNode();
  const health = useLoaded(() => node.health(), [], EVERY_MS);
  const verification = useLoaded(() => node.verification(), [], EVERY_MS);
  const now = useNow(10_000);
  const warnings =
    status && health.value && verification.value
      ? warningsOf(status, health.value, verification.value, now)
      : undefined;

  return (
    <>
      <h1 tabIndex={-1}>Health</h1>
      <section aria-labelledby="warnings-title">
        <h2 id="warnings-title">What needs you</h2>
        {warnings === undefined && <Loading rows={1} what="warnings" />}
        {warnings?.length === 0 && <Notice kind="good">Nothing. All is well, as far as this node can tell.</Notice>}
        <ul class="warnings">
          {warnings?.map(({ says, todo, view }) => (
            <li key={says}>
              <Notice kind="warn">
                <p>
                  <Sentence>{says}</Sentence>
                </p>
                {todo !== null && (
                  <p class="todo">
                    <Sentence>{todo}</Sentence> {view !== null && <a href={linkTo(view)}>Go to {TITLES[view]}</a>}
                  </p>
                )}
              </Notice>
            </li>
          ))}
        </ul>
      </section>
      <section aria-labelledby="pictures-title">
        <h2 id="pictures-title">The last hour</h2>
        {health.error !== null && <Problem onRetry={health.reload}>{health.error}</Problem>}
        {health.value === undefined && health.error === null && <Loading rows={6} what="pictures" />}
        {health.value && status && <Pictures health={health.value} status={status} />}
      </section>
      <section aria-labelledby="copies-title">
        <h2 id="copies-title">Log and backups</h2>
        {verification.error !== null && <Problem onRetry={verification.reload}>{verification.error}</Problem>}
        {verification.value && status && (
          <Copies verification={verification.value} status={status} now={now} onVerified={verification.reload} />
        )}
      </section>
    </>
  );
}

function Pictures({ health: { everyMs, samples }, status }: { health: Health; status: Status }): JSX.Element {
  const times = samples.map(({ atMs }) => atMs);
  const perSecond = (count: number): number => (count * 1000) / everyMs;
  const names = new Map(status.peers.filter(({ id }) => id !== '').map((peer) => [peer.id, nameOf(peer)]));
  const ids = [...new Set(samples.flatMap(({ peers }) => peers.map(({ id }) => id)))];
  const ofPeers = (pick: (peer: Health['samples'][number]['peers'][number]) => number | null): Series[] =>
    ids.map((id) => ({
      name: names.get(id) ?? shortId(id),
      values: samples.map(({ peers }) => {
        const peer = peers.find((each) => each.id === id);
        return peer ? pick(peer) : null;
      }),
    }));
  const rate = (value: number): string => `${number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))}/s`;
  const none = 'A sample is taken every ten seconds; the line begins with the second one.';
  return (
    <div class="charts">
      <Chart
        title="Commits per second"
        times={times}
        none={none}
        format={rate}
        series={[
          { name: 'written here', values: samples.map(({ written }) => perSecond(written)) },
          { name: 'from others', values: samples.map(({ received }) => perSecond(received)) },
        ]}
      />
      <Chart
        title="Delay until another disk has it"
        times={times}
        none={`${ids.length === 0 ? 'There is no other device yet.' : 'Nothing was sent yet.'} This shows how long a commit takes until another device has it on its disk.`}
        format={duration}
        series={ofPeers(({ delayMs }) => delayMs)}
      />
      <Chart
        title="Queue: commits others lack"
        times={times}
        none={`${ids.length === 0 ? 'There is no other device yet.' : 'Not known yet.'} This shows how many commits each device still lacks.`}
        format={(value) => number(Math.round(value * 10) / 10)}
        series={ofPeers(({ behind }) => behind)}
      />
      <Chart
        title="Log on disk"
        times={times}
        none={none}
        format={bytes}
        series={[{ name: 'log', values: samples.map(({ logBytes }) => logBytes) }]}
      />
      <Chart
        title="Free on the disk"
        times={times}
        none={none}
        format={bytes}
        series={[{ name: 'free', values: samples.map(({ freeBytes }) => freeBytes) }]}
      />
    </div>
  );
}

function Copies({
  verification: { running, log, backup },
  status,
  now,
  onVerified,
}: {
  verification: Verification;
  status: Status;
  now: number;
  onVerified: () => void;
}): JSX.Element {
  const { say } = useApp();
  const node = useNode();
  const { busy, error, run } = useAction();
  const proven = status.lastProvenRestorable;
  const verify = async (): Promise<void> => {
    if (!(await run(() => node.verify()))) return;
    say('Verifying the log');
    onVerified();
  };
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Log</dt>
          <dd>
            {running
              ? `Verifying ${running.space}: ${number(running.done)} of ${number(running.total)}`
              : log === null
                ? 'Never verified.'
                : `${log.ok ? 'Every link and signature was right' : `Not as it should be: ${log.says}`}, ${ago(log.atMs, now)}.`}
          </dd>
        </div>
        <div>
          <dt>Last backup found good</dt>
          <dd>
            {proven === null
              ? 'None.'
              : `${proven.dir}, looked at ${ago(proven.atMs, now)}${proven.untilMs === null ? '' : `, brings back everything until ${timeOfMs(proven.untilMs)}`}.`}
          </dd>
        </div>
        {backup !== null && !backup.ok && (
          <div>
            <dt>Backup in {backup.dir}</dt>
            <dd>Not good: {backup.says}</dd>
          </div>
        )}
      </dl>
      {error !== null && <Problem>{error}</Problem>}
      <button type="button" disabled={busy || running !== null} onClick={() => void verify()}>
        Verify the log now
      </button>
    </>
  );
}
