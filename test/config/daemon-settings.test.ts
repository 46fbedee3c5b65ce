/** Umasks as Celery reads them; users and groups by name or number. */
import t from 'tap';
import { daemonSettings } from '../../src/config/daemon-settings.ts';
import { Refusal } from '../../src/config/kind.ts';

const { kind: umask } = daemonSettings.worker_umask;
const { kind: user } = daemonSettings.worker_uid;

t.test('umask', async (t) => {
  for (const [text, value] of [
    ['022', 0o022],
    ['0o27', 0o027],
    ['0', 0],
    ['18', 18],
    ['0777', 0o777],
  ] as const)
    t.equal(umask.readText(text), value, text);
  for (const text of ['1000', '01000', '-1', '09', '', 'u=rwx', '0x1']) t.ok(umask.readText(text) instanceof Refusal, text);
  t.equal(umask.readValue('027'), 0o027);
  t.equal(umask.readValue(0o022), 0o022);
  t.ok(umask.readValue(1.5) instanceof Refusal);
  t.equal(daemonSettings.worker_umask.kind.toToml(0o22 as never), '"0022"');
});

t.test('users', async (t) => {
  t.equal(user.readText('umbel'), 'umbel');
  t.equal(user.readValue(1000), '1000');
  t.ok(user.readValue(true) instanceof Refusal);
});
