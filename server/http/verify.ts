/** `/v1/verify`: looks over the live log and state, in the background, and says what came of it. */
import { toHex } from '../../protocol/bytes.ts';
import type { BackupVerified, LogVerified } from '../verified.ts';
import type { LogReport, Verifier, VerifyStep } from '../verifier.ts';
import type { ApiContext } from './context.ts';
import { events, json, wantsEvents, type ApiRequest, type ServerEvent } from './message.ts';
import { problemOf } from './problem.ts';
import type { Routes } from './routes.ts';

interface VerifyJson {
  /** Where the run is that is under way. */
  readonly running: VerifyStep | null;
  /** All that the last run of this process found. */
  readonly last: LogReport | null;
  /** When all spaces were last verified, and how that ended. */
  readonly log: LogVerified | null;
  readonly backup: BackupVerified | null;
}

const STEP_EVERY_MS = 200;

export const verifyRoutes: Routes = {
  'GET /v1/verify': async ({ verifier }) => json(await stateOf(verifier)),

  /** Begins, and answers at once; as events it tells how far it is, and at the end what it found. */
  'POST /v1/verify': async (context, request) => {
    const { verifier } = context;
    const space = spaceOf(context, request);
    if (wantsEvents(request))
      return events(following(verifier, space), (thrown) => ({ event: 'problem', data: problemOf(thrown) }));
    // Its outcome is noted, and told by GET.
    verifier.run(space).catch(() => {});
    return json(await stateOf(verifier), { status: 202 });
  },
};

/** Hex id; null for all of them. */
function spaceOf({ peer }: ApiContext, { query }: ApiRequest): string | null {
  const name = query.get('space');
  return name === null ? null : toHex(peer.space(name).id);
}

async function stateOf(verifier: Verifier): Promise<VerifyJson> {
  return { running: verifier.step, last: verifier.last, ...(await verifier.verified()) };
}

/** Who goes away ends nothing: others may wait for the same run. */
async function* following(verifier: Verifier, space: string | null): AsyncGenerator<ServerEvent> {
  const report = verifier.run(space);
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const tick = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), STEP_EVERY_MS);
    });
    const done = await Promise.race([report, tick]).finally(() => clearTimeout(timer));
    if (done) {
      yield { event: 'done', data: done };
      return;
    }
    if (verifier.step) yield { event: 'step', data: verifier.step };
  }
}
