import type { Database, ResourceView } from '../../../client/index.ts';

export function useResource(db: Database, subject: string): ResourceView | null | undefined;
export function useResources(db: Database, prefix: string, limit?: number): readonly ResourceView[] | undefined;
