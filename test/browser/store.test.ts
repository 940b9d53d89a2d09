/** The store of browsers in a real one: the contract of all stores. */
import { testsInPage } from './in-page.ts';

const VITEST = { vitest: './test/browser/page/vitest.ts' };

await testsInPage({ entryPoints: ['test/browser/page/store-contract.ts'], alias: VITEST }, 25);
