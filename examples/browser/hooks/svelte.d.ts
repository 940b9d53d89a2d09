import type { Database, ResourceView } from '../../../client/index.ts';

interface Readable<T> {
  subscribe(show: (value: T | undefined) => void): () => void;
}
export function resource(db: Database, subject: string): Readable<ResourceView | null>;
export function resources(db: Database, prefix: string, limit?: number): Readable<readonly ResourceView[]>;
