/** `/v1/health`: how the node did in the last hour. */
import { SAMPLE_EVERY_MS } from '../health.ts';
import { json } from './message.ts';
import type { Routes } from './routes.ts';

export const healthRoutes: Routes = {
  'GET /v1/health': ({ health }) => json({ everyMs: SAMPLE_EVERY_MS, samples: health?.samples ?? [] }),
};
