/** What the process of a worker is before anything is opened in it: its user, its folder, its umask. The order is that of rights given up. */
import type { Config } from '../config/config.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { becomeUser } from '../os/privileges.ts';
import type { CommandContext } from './command.ts';

/** Throws CONFIG_INVALID, PRIVILEGES_REFUSED. */
export function becomeWorkerProcess(ctx: CommandContext, config: Config): void {
  const { worker_uid: user, worker_gid: group, worker_umask: umask, worker_workdir: workdir } = config.settings;
  const userFrom = config.origin('worker_uid').text;
  const became = becomeUser({ user, group, userFrom, groupFrom: config.origin('worker_gid').text });
  // Folders for state and caches follow from these.
  if (became !== null) {
    // A restart in place must find the same file, though another home is searched now.
    if (config.file !== null && ctx.configFile === undefined) ctx.env.UMBEL_CONFIG = config.file;
    Object.assign(ctx.env, { HOME: became.home, USER: became.name, LOGNAME: became.name });
  }
  if (umask !== null) process.umask(umask);
  if (workdir !== null) changeFolder(workdir, config.origin('worker_workdir').text);
}

function changeFolder(workdir: string, where: string): void {
  try {
    process.chdir(workdir);
  } catch (error) {
    throw new UmbelError(
      'CONFIG_INVALID',
      `worker.workdir must be a folder one can change to, got ${workdir}: ${messageOf(error)} (${where})`,
      { cause: error },
    );
  }
}
