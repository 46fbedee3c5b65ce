/** The file of the embedded broker, or of its results, and the place it is in. */
import { dirname } from 'node:path';
import type { SqliteSurvey } from '../driver/sqlite-survey.ts';
import { type Finding, found } from './finding.ts';

const mib = 1024 * 1024;
const leastFreeBytes = 256 * mib;
/** A log that is copied back in time stays at some MiB (journal_size_limit is 64). */
const mostWalBytes = 256 * mib;

/** `isNamed`: by the configuration; the folder of any other is made by the first worker. */
export function* sqliteFile(file: SqliteSurvey, place: string, isNamed: boolean): Iterable<Finding> {
  const { path, fileSystem, freeBytes, journalMode, failure } = file;
  if (isNamed && freeBytes === null)
    yield found('FOLDER_MISSING', `the folder of ${path} must be there, got none: ${dirname(path)}`, place);
  if (fileSystem?.remote)
    yield found('SQLITE_REMOTE', `the file must be on a disk of this machine, got ${fileSystem.name}: ${path}`, place);
  if (fileSystem?.inMemory) yield found('SQLITE_IN_MEMORY', `the file must be on a disk, got ${fileSystem.name}: ${path}`, place);
  if (freeBytes !== null && freeBytes < leastFreeBytes)
    yield found(
      'DISK_NEARLY_FULL',
      `the disk must have ${leastFreeBytes / mib} MiB left, got ${Math.round(freeBytes / mib)} MiB: ${path}`,
      place,
    );
  if (failure !== null && failure.kind !== 'corrupt') yield found('SERVER_UNREACHABLE', failure.message, place);
  const damage = failure?.kind === 'corrupt' ? [failure.message] : file.damage;
  if (damage.length > 0) yield found('SQLITE_DAMAGED', `the file must be sound, got ${damage.join('; ')}: ${path}`, place);
  else if (journalMode !== null && journalMode !== 'wal')
    yield found('SQLITE_NOT_WAL', `the journal mode must be wal, got ${journalMode}: ${path}`, place);
  if (file.exists && !file.writable)
    yield found('FILE_UNWRITABLE', `the file and its folder must be writable for uid ${process.geteuid?.()}: ${path}`, place);
  if (file.walBytes > mostWalBytes)
    yield found(
      'SQLITE_WAL_LARGE',
      `the log beside the file must stay below ${mostWalBytes / mib} MiB, got ${Math.round(file.walBytes / mib)} MiB: ${path}-wal`,
      place,
    );
}
