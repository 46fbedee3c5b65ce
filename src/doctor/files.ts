/** The files and folders a worker needs: there, and writable for the user this process is, who is the user of the worker. Nothing is made. */
import { accessSync, constants, existsSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { defaultBrokerPath } from '../client/connections.ts';
import type { SettingName } from '../config/settings-table.ts';
import { isSqliteUrl, sqlitePathFromUrl } from '../driver/sqlite-url.ts';
import { messageOf } from '../errors.ts';
import { controlSocketPath } from '../node/local-control.ts';
import { readPidfile } from '../os/pidfile.ts';
import { expandTemplate } from '../std/node-name.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

/** Files of one worker by the setting that names them, expanded; those of children too, where they have their own. */
export function filesOf({ config, names, env }: Subject): readonly { readonly name: SettingName; readonly path: string }[] {
  const { settings } = config;
  const { nodeName, logFile, pidfile, stateDb } = names;
  const files: { name: SettingName; path: string }[] = [];
  const add = (name: SettingName, path: string | null): void => {
    if (path !== null && !files.some((file) => file.name === name && file.path === path)) files.push({ name, path });
  };
  add('worker_logfile', logFile);
  if (settings.worker_logfile !== null) add('worker_logfile', expandTemplate(settings.worker_logfile, { nodeName, index: 1 }));
  add('worker_pidfile', pidfile);
  add('worker_state_db', stateDb);
  if (settings.worker_control_socket !== null) add('worker_control_socket', controlSocketPath(settings, nodeName, env));
  for (const name of ['broker_url', 'result_backend'] as const) add(name, sqlitePath(settings[name]));
  return files.map(({ name, path }) => ({ name, path: resolve(path) }));
}

function sqlitePath(url: string | null): string | null {
  if (url === null || !isSqliteUrl(url)) return null;
  const result = sqlitePathFromUrl(url);
  return 'path' in result ? result.path : null;
}

/** That of the embedded broker which nobody has named is made by its first worker: below the nearest one that is there. */
export function* stateFolder(subject: Subject): Iterable<Finding> {
  const { config, env } = subject;
  if (config.settings.broker_url !== null) return;
  const path = defaultBrokerPath(env);
  const problem = problemWithFolder(nearestThere(dirname(path)));
  if (problem !== null) yield found(problem.code, `the folder of ${path} must ${problem.rule}`, placeOf(subject, 'broker_url'));
}

export function* files(subject: Subject): Iterable<Finding> {
  const folders = new Set<string>();
  for (const { name, path } of filesOf(subject)) {
    const place = placeOf(subject, name);
    const folder = dirname(path);
    const problem = problemWithFolder(folder);
    if (problem?.code === 'FOLDER_MISSING' && multiMakes(subject, name, folder)) continue;
    if (problem !== null) {
      if (!folders.has(`${name} ${folder}`)) yield found(problem.code, `the folder of ${path} must ${problem.rule}`, place);
      folders.add(`${name} ${folder}`);
      continue;
    }
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || name === 'worker_control_socket') continue;
    if (name === 'worker_pidfile') yield* pidfile(path, place);
    else if (stat.isDirectory()) yield found('FILE_UNWRITABLE', `a file must be one, got a folder: ${path}`, place);
    else if (!may(path, constants.R_OK | constants.W_OK))
      yield found('FILE_UNWRITABLE', `the file must be writable for ${us()}, got ${shown(stat)}: ${path}`, place);
  }
}

/** `umbel multi` makes the folders of pid and log files; as root, where a node is to become another user. */
function multiMakes({ node, config }: Subject, name: SettingName, folder: string): boolean {
  if (node === null || existsSync(folder) || (name !== 'worker_pidfile' && name !== 'worker_logfile')) return false;
  const problem = problemWithFolder(nearestThere(folder));
  const isMadeByRoot = config.settings.worker_uid !== null || config.settings.worker_gid !== null;
  return problem === null || (problem.code === 'FOLDER_UNWRITABLE' && isMadeByRoot);
}

function nearestThere(folder: string): string {
  let nearest = folder;
  while (!existsSync(nearest) && nearest !== dirname(nearest)) nearest = dirname(nearest);
  return nearest;
}

function* pidfile(path: string, place: string): Iterable<Finding> {
  try {
    if (readPidfile(path).kind === 'broken' && statSync(path).size > 64)
      yield found('PIDFILE_FOREIGN', `the pid file must hold a process id or not be there, got another file: ${path}`, place);
  } catch (error) {
    yield found('FILE_UNWRITABLE', messageOf(error), place);
  }
}

function problemWithFolder(folder: string): { readonly code: 'FOLDER_MISSING' | 'FOLDER_UNWRITABLE'; readonly rule: string } | null {
  let stat: Stats | undefined;
  try {
    stat = statSync(folder, { throwIfNoEntry: false });
  } catch (error) {
    return { code: 'FOLDER_UNWRITABLE', rule: `be reachable for ${us()}, got ${messageOf(error)}` };
  }
  if (stat === undefined) return { code: 'FOLDER_MISSING', rule: 'be there, got none' };
  if (!stat.isDirectory()) return { code: 'FOLDER_MISSING', rule: `be a folder, got another kind of file: ${folder}` };
  if (may(folder, constants.W_OK | constants.X_OK)) return null;
  return { code: 'FOLDER_UNWRITABLE', rule: `be writable for ${us()}, got ${shown(stat)}: ${folder}` };
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function us(): string {
  return `uid ${process.geteuid?.()}, gid ${process.getegid?.()}`;
}

function shown({ uid, gid, mode }: Stats): string {
  return `one of uid ${uid}, gid ${gid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`;
}
