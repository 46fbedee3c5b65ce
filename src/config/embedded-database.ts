/** The file of the embedded broker where none is configured: $XDG_STATE_HOME/umbel/umbel.db. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** A broker URL. As the XDG rules say, a relative XDG_STATE_HOME is ignored. */
export function embeddedDatabaseUrl(env: NodeJS.ProcessEnv): string {
  const given = env.XDG_STATE_HOME;
  const stateFolder = given && isAbsolute(given) ? given : join(env.HOME || homedir(), '.local', 'state');
  return `sqlite:///${join(stateFolder, 'umbel', 'umbel.db')}`;
}
