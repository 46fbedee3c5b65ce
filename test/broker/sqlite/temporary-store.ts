/** A folder of a test's own, and stores on files in it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStore } from '../../../src/driver/sqlite-store.ts';
import type { Logger } from '../../../src/log/logger.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

export interface TemporaryFolder {
  path(name: string): string;
  remove(): void;
}

export function temporaryFolder(): TemporaryFolder {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-test-'));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export function storeAt(path: string, log: Logger = new RecordingLog()): SqliteStore {
  return new SqliteStore({ path, synchronous: 'normal', busyTimeoutMs: 5000, log });
}
