/** Whom the worker will run as, seen when this process has become it (cli/worker-process.ts) or has not. */
import { accessSync, constants, statSync } from 'node:fs';
import { rootWarning } from '../os/privileges.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

/** C_FORCE_ROOT says that it is meant, as in Celery. */
export function* root({ env }: Subject): Iterable<Finding> {
  const warning = rootWarning();
  if (warning !== null && !env.C_FORCE_ROOT) yield found('RUNS_AS_ROOT', warning);
}

/** The file is read again at HUP, by the user the worker is then. */
export function* configurationFile(subject: Subject): Iterable<Finding> {
  const { file, settings } = subject.config;
  if (file === null) return;
  try {
    accessSync(file, constants.R_OK);
  } catch {
    yield found(
      'CONFIG_UNREADABLE_LATER',
      `the configuration file must be readable for the user of the worker (uid ${process.geteuid?.()})`,
      file,
    );
  }
  const { mode } = statSync(file);
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  if ((mode & 0o002) !== 0)
    yield found('CONFIG_WRITABLE_BY_ALL', `the configuration file must not be writable for everybody, got mode ${octal}`, file);
  const secret = (['broker_url', 'result_backend', 'redis_password'] as const).find(
    (name) =>
      subject.config.origin(name).kind === 'file' && (name === 'redis_password' ? settings[name] !== null : hasPassword(settings[name])),
  );
  if (secret !== undefined && (mode & 0o004) !== 0)
    yield found(
      'CONFIG_SECRET_READABLE',
      `a file with a password must not be readable for everybody, got mode ${octal}`,
      placeOf(subject, secret),
    );
}

function hasPassword(url: string | null): boolean {
  return url !== null && /^[^/]*:\/\/[^/@\s]*:[^/@\s]+@/.test(url);
}
