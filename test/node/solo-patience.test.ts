/** What is held for longer when task code may block the worker itself. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { soloPatience } from '../../src/node/solo-patience.ts';

t.test('an hour and no heartbeat with solo, the defaults with the others, what was set with all', async (t) => {
  const cwd = t.testdir();
  const patience = (toml: string) => {
    const file = join(cwd, 'umbel.toml');
    writeFileSync(file, toml);
    const settings = soloPatience(loadConfig({ flags: {}, env: { HOME: cwd, UMBEL_CONFIG: '' }, cwd, file }));
    return [settings.sqlite_lease_seconds, settings.redis_lease_seconds, settings.broker_heartbeat];
  };
  for (const pool of ['prefork', 'threads', 'async']) t.same(patience(`[worker]\npool = "${pool}"\n`), [30, 30, 120], pool);
  t.same(patience('[worker]\npool = "solo"\n'), [3600, 3600, null]);
  const set = '[sqlite]\nlease_seconds = 7\n[redis]\nlease_seconds = 8\n[broker]\nheartbeat = 9\n';
  t.same(patience(`[worker]\npool = "solo"\n${set}`), [7, 8, 9]);
});
