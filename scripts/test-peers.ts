/**
 * The Debian packages that tests talk to: installed with apt-get when something is missing and we are root, else named exactly.
 * Services that come with a package are not started: tests start their own. Never changes anything when nothing is missing.
 */
import { spawnSync } from 'node:child_process';

/** package → a command that succeeds when it is there. */
const peers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  'python3-celery': ['/usr/bin/python3', '-c', 'import celery'],
  'python3-sqlalchemy': ['/usr/bin/python3', '-c', 'import sqlalchemy'],
  'python3-redis': ['/usr/bin/python3', '-c', 'import redis'],
  'redis-server': ['redis-server', '--version'],
  'redis-tools': ['redis-cli', '--version'],
  'rabbitmq-server': ['test', '-x', '/usr/lib/rabbitmq/bin/rabbitmq-server'],
  // Scripts, units, manual pages, completions, the package.
  shellcheck: ['shellcheck', '--version'],
  systemd: ['systemd-analyze', '--version'],
  logrotate: ['test', '-x', '/usr/sbin/logrotate'],
  procps: ['ps', '--version'],
  adduser: ['test', '-x', '/usr/sbin/adduser'],
  groff: ['test', '-d', '/usr/share/groff/current/tmac'],
  mandoc: ['test', '-x', '/usr/bin/mandoc'],
  zsh: ['zsh', '--version'],
  fish: ['fish', '--version'],
};

function missingPeers(): string[] {
  const missing: string[] = [];
  for (const [name, [command, ...args]] of Object.entries(peers)) {
    if (spawnSync(command, args, { stdio: 'ignore' }).status !== 0) missing.push(name);
  }
  return missing;
}

/** After this, tests that need a peer may still find it missing; they then fail and name the package. */
export function installTestPeers(): void {
  const missing = missingPeers();
  if (missing.length === 0) return;
  const byHand = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0) {
    console.log(`tests need Debian packages that are not installed; as root: ${byHand}`);
    return;
  }
  console.log(`installing for the tests: ${missing.join(' ')}`);
  // RUNLEVEL=1 makes invoke-rc.d leave every service stopped.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const options = { env, stdio: ['ignore', 'ignore', 'inherit'] as ('ignore' | 'inherit')[] };
  const lock = ['-q', '-o', 'DPkg::Lock::Timeout=120'];
  spawnSync('apt-get', [...lock, 'update'], options);
  spawnSync('apt-get', [...lock, 'install', '-y', '--no-install-recommends', ...missing], options);
  const still = missingPeers();
  if (still.length > 0) console.log(`could not install ${still.join(' ')}; by hand: ${byHand}`);
}
