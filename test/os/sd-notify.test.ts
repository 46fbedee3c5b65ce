import { join } from 'node:path';
import t from 'tap';
import { createSdNotify } from '../../src/os/sd-notify.ts';
import { startNotifyReceiver } from './notify-receiver.ts';

for (const kind of ['a path', 'an abstract name'] as const) {
  t.test(`messages reach systemd at ${kind}`, async (t) => {
    const address = kind === 'a path' ? join(t.testdir(), 'notify') : `@umbel-test-${process.pid}`;
    const systemd = await startNotifyReceiver(t, address);
    const notify = createSdNotify({ NOTIFY_SOCKET: address, WATCHDOG_USEC: '3000000', WATCHDOG_PID: String(process.pid) });
    t.ok(notify.active);
    t.equal(notify.watchdogIntervalMs, 1500);
    t.ok(notify.ready('2 children,\nready'));
    t.equal(await systemd.line(/READY/), "'READY=1\\nSTATUS=2 children, ready'");
    const beforeUs = process.hrtime.bigint() / 1000n;
    t.ok(notify.reloading());
    const monotonicUs = BigInt(/RELOADING=1\\nMONOTONIC_USEC=(\d+)'/.exec(await systemd.line(/RELOADING/))?.[1] ?? 0);
    t.ok(monotonicUs >= beforeUs && monotonicUs <= process.hrtime.bigint() / 1000n);
    t.ok(notify.status('busy'));
    t.equal(await systemd.line(/busy/), "'STATUS=busy'");
    t.ok(notify.watchdog());
    await systemd.line(/'WATCHDOG=1'/);
    t.ok(notify.stopping());
    await systemd.line(/'STOPPING=1'/);
  });
}

t.test('nobody to tell', async (t) => {
  for (const env of [{}, { NOTIFY_SOCKET: '' }, { NOTIFY_SOCKET: 'vsock:2:1' }]) {
    const notify = createSdNotify({ ...env, WATCHDOG_USEC: '1000' });
    t.notOk(notify.active);
    t.equal(notify.watchdogIntervalMs, null);
    t.notOk(notify.ready());
  }
  t.notOk(createSdNotify({ NOTIFY_SOCKET: '/nonexistent/notify' }).ready(), 'gone');
  t.equal(
    createSdNotify({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }).watchdogIntervalMs,
    null,
    'meant for another process',
  );
});
