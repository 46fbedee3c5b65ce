/** What `inspect stats` says of the broker. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { brokerInfo } from '../../src/node/broker-info.ts';

function info(t: Test, broker: string): Readonly<Record<string, unknown>> {
  const cwd = t.testdir();
  writeFileSync(join(cwd, 'umbel.toml'), `[broker]\n${broker}\n`);
  return brokerInfo(loadConfig({ flags: {}, env: {}, cwd }).settings);
}

t.test('the user and how it logs in', async (t) => {
  t.match(info(t, 'url = "amqp://me:secret@h"'), { userid: 'me', login_method: 'PLAIN' });
  t.match(info(t, 'url = "redis://me:secret@h"'), { userid: 'me', login_method: null });
  const byCertificate = { hostname: 'h', userid: null, login_method: 'EXTERNAL' };
  t.match(info(t, 'url = "amqps://me:secret@h"\nlogin_method = "EXTERNAL"'), byCertificate, 'no user is sent');
  t.match(info(t, 'url = "amqps://me:secret@h?login_method=external"'), byCertificate, 'the URL is stronger');
  t.match(info(t, 'url = "amqps://h?login_method=PLAIN"\nlogin_method = "EXTERNAL"'), { login_method: 'PLAIN' });
});
