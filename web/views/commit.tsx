/** One commit in full, and what proves who wrote it. */
import type { JSX } from 'preact';

import { useApp, useLoaded } from '../hooks.ts';
import { Empty, Loading, Notice, Problem } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { Commit, CommitProof } from '../source.ts';
import { bytes, describe, number, shortId, timeOfUs } from '../words.ts';

export function CommitView({ cursor }: { cursor: string }): JSX.Element {
  const { source } = useApp();
  const { value, error, reload } = useLoaded(() => source.commit(cursor), [cursor]);
  return (
    <article>
      <a class="back" href={linkTo('log')}>
        ← The log
      </a>
      <h1 tabIndex={-1}>Commit</h1>
      {error !== null && <Problem onRetry={reload}>{error}</Problem>}
      {value === undefined && error === null && <Loading rows={6} what="the commit" />}
      {value && (
        <>
          <Signature proof={value.proof} name={value.commit.deviceName} />
          <p>
            Written by <strong>{value.commit.deviceName || shortId(value.commit.device)}</strong> on{' '}
            {timeOfUs(value.commit.time)}.
          </p>
          <Changes commit={value.commit} />
          <Proof proof={value.proof} />
        </>
      )}
    </article>
  );
}

function Signature({ proof, name }: { proof: CommitProof; name: string }): JSX.Element {
  const by = name || shortId(proof.device);
  if (proof.signed === 'own') return <Notice kind="good">The signature is right: {by} wrote exactly this.</Notice>;
  if (proof.signed === 'later')
    return (
      <Notice kind="good">
        A later signature of {by} vouches for it: it names this commit’s hash, through the commits between them.
      </Notice>
    );
  return (
    <Problem>
      No signature here vouches for this commit. The log on this disk may be damaged: run <code>tidelog verify</code>.
    </Problem>
  );
}

function Changes({ commit }: { commit: Commit }): JSX.Element {
  if (commit.erased)
    return (
      <Empty title="No content">A revocation took it out. Its hash stays, so that the chain can be checked.</Empty>
    );
  return (
    <>
      <h2>{commit.changes.length === 1 ? 'Change' : `${number(commit.changes.length)} changes`}</h2>
      <ul class="changes">
        {commit.changes.map((change) => (
          <li key={change.subject}>
            <a class="subject" href={linkTo('data', change.subject)}>
              {change.subject}
            </a>
            <ul class="ops">
              {describe(change).map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </>
  );
}

function Proof({ proof }: { proof: CommitProof }): JSX.Element {
  const rows: [string, string][] = [
    ['Commit', proof.id],
    ['Device', proof.device],
    ['Chain', `${proof.chain}, number ${number(proof.seq)}`],
    ['Commit before it', proof.prev],
    ['Hash of its content', proof.bodyHash],
    ['Signature', proof.signature],
    ['Size', proof.bytes === null ? 'taken out' : bytes(proof.bytes)],
    [
      'Had newly seen',
      proof.deps.length === 0
        ? 'nothing of others'
        : proof.deps.map(({ chain, seq }) => `${chain.slice(0, 8)}… up to number ${number(seq)}`).join(', '),
    ],
  ];
  return (
    <>
      <h2>What proves it</h2>
      <dl class="proof">
        {rows.map(([term, text]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd class="code">{text}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
