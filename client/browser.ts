/**
 * The library in a browser: everything of index.ts, and `open` with the portable platform filled in, which also works on a page
 * that is no secure context.
 */
import { open as openWith, type Database, type OpenOptions } from './database.ts';
import type { Platform } from './platform.ts';
import { portablePlatform } from './platform/portable.ts';

/** As `open` of index.ts, on the portable platform unless told otherwise. */
export function open(options: Omit<OpenOptions, 'platform'> & { readonly platform?: Platform }): Promise<Database> {
  return openWith({ ...options, platform: options.platform ?? portablePlatform() });
}

export { portablePlatform };
export {
  changeFromJson,
  changeToJson,
  Connection,
  Database,
  fromJson,
  Live,
  MemoryStore,
  Peer,
  Space,
  TABLES,
  TidelogError,
  toJson,
  Transaction,
} from './index.ts';
