/**
 * What `ps` shows for our processes: `[umbel: worker1@example.com:MainProcess] -active- (worker -c 2)`.
 */

/**
 * The title of a process. Also of use as `argv0` when starting a child: the kernel gives a title only the room its command
 * line had, so a child whose command line begins with its title has enough.
 */
export function processTitle(nodeName: string, processName: string, info = ''): string {
  return `[umbel: ${nodeName}:${processName}]${info === '' ? '' : ` ${info}`}`;
}

/** Set the title of this process. The system may cut it. */
export function setProcessTitle(nodeName: string, processName: string, info = ''): void {
  process.title = processTitle(nodeName, processName, info);
}
