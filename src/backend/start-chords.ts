/** What a result backend is told of chords before the first part of their headers can end: how many there are. */
import { UmbelError } from '../errors.ts';
import type { ChordStart } from '../protocol/chord-part.ts';
import type { ResultBackend } from './backend.ts';
import type { GroupStore } from './group-store.ts';

/** Rejects with NOT_SUPPORTED where nobody counts. */
export async function startChords(backend: ResultBackend | null, chords: readonly ChordStart[]): Promise<void> {
  const groups = chordsAllowed(backend);
  await Promise.all(
    chords.flatMap(({ groupId, size, group }) => [
      ...(group === null ? [] : [groups.saveGroup(groupId, group)]),
      groups.setChordSize(groupId, size),
    ]),
  );
}

/** Throws NOT_SUPPORTED. */
export function chordsAllowed(backend: ResultBackend | null): GroupStore {
  if (backend !== null && backend.groups !== null) return backend.groups;
  const what = backend === null ? 'none' : backend.displayUrl;
  throw new UmbelError('NOT_SUPPORTED', `a chord needs a result backend that counts its parts (redis, sqlite, memory), got ${what}`);
}
