/** `/v1/config`: what `config.json` says. */
import { json, readObject } from './message.ts';
import type { Routes } from './routes.ts';

export const configRoutes: Routes = {
  'GET /v1/config': ({ config }) => json(config.values),

  /** Named settings change; null puts the default back. `restart` names those that wait for the next start. */
  'PATCH /v1/config': async ({ config, peer, log }, request) => {
    const changes = readObject(request);
    const restart = await config.patch(changes);
    if (Object.hasOwn(changes, 'name')) peer.name = config.values.name;
    if (Object.hasOwn(changes, 'logBytesMax')) peer.logBytesMax = config.values.logBytesMax;
    if (Object.hasOwn(changes, 'logLevel')) log.level = config.values.logLevel;
    return json({ config: config.values, restart });
  },
};
