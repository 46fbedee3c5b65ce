/** What becomes of a task's end when a step of recording it fails, or the message is no longer ours: nothing is lost. */
import t from 'tap';
import { UmbelError } from '../../src/errors.ts';
import { settled } from './doubles.ts';
import { addFollowUp, end, late, loseChild, SettleBench, succeed } from './settle-bench.ts';

const refusal = new UmbelError('QUEUE_UNKNOWN', 'no such queue');
const away = new UmbelError('BROKER_UNAVAILABLE', 'the broker is away');
const broken = new UmbelError('BACKEND_UNAVAILABLE', 'the backend is broken');

t.test('a follow-up that is refused for good: the task has failed, and does not run for ever', async (t) => {
  for (const offer of [late, {}]) {
    const bench = new SettleBench();
    bench.recorder.fail('publish', refusal);
    const { request, job } = await bench.started(offer);
    const before = bench.recorder.names.length;
    addFollowUp(job);
    succeed(request, job);
    await bench.settler.idle();
    t.match(bench.backend.records.at(-1), { status: 'FAILURE', resultJson: /no such queue/ });
    t.same(
      bench.recorder.names.slice(before).filter((name) => name !== 'declare'),
      offer === late ? ['publish', 'store', 'ack', 'settled'] : ['publish', 'store', 'settled'],
    );
  }
});

t.test('so it is with one that no queue takes, or whose exchange is not there', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('publish', new UmbelError('BROKER_REFUSED', 'no queue takes the message'));
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  succeed(request, job);
  await bench.settler.idle();
  t.match(bench.backend.records.at(-1), { status: 'FAILURE', resultJson: /no queue takes the message/ });
  t.same(bench.recorder.names, ['declare', 'publish', 'store', 'ack', 'settled'], 'and it is tried once');
});

t.test('one that a full queue refuses is tried a few times; then the message goes back', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('publish', new UmbelError('BROKER_FULL', 'full'));
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'publish', 'publish', 'publish', 'requeue', 'settled']);
});

t.test('a retry is told before its message is sent, and nothing waits for the telling', async (t) => {
  const bench = new SettleBench();
  bench.recorder.hold('store');
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  end('retried')(request, job);
  await settled();
  t.same(bench.recorder.names, ['store', 'declare', 'publish', 'ack', 'settled']);
  t.match(bench.backend.records, [{ status: 'RETRY' }]);
  let idle = false;
  const whenIdle = bench.settler.idle().then(() => {
    idle = true;
  });
  await settled();
  t.equal(idle, false, 'but the end of the worker');
  await bench.recorder.pass('store');
  await whenIdle;

  const failing = new SettleBench();
  failing.recorder.fail('store', broken);
  const second = await failing.started(late);
  addFollowUp(second.job);
  end('retried')(second.request, second.job);
  await failing.settler.idle();
  t.same(failing.recorder.names, ['store', 'declare', 'publish', 'ack', 'settled'], 'it is not sent a second time for want of a result');
  t.match(await failing.log.event('task.settle-failed'), { level: 'error' });
});

t.test('a follow-up the broker cannot take now: the message goes back, nothing is stored', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('publish', new UmbelError('BROKER_UNAVAILABLE', 'no such queue'));
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  succeed(request, job);
  bench.broker.enter('stopped');
  await bench.settler.idle();
  t.same(bench.recorder.names, ['declare', 'publish', 'requeue', 'settled']);
  t.match(await bench.log.event('task.settle-failed'), { level: 'critical', message: /its end could not be recorded: no such queue/ });
});

t.test('a broker that is away is waited for: nothing is lost, also when the message is acknowledged already', async (t) => {
  for (const offer of [late, {}]) {
    const bench = new SettleBench();
    const { recorder, broker, log } = bench;
    const { request, job } = await bench.started(offer);
    addFollowUp(job);
    broker.enter('lost');
    recorder.fail('publish', away);
    end('retried')(request, job);
    await log.event('task.follow-up-delayed');
    await settled();
    t.same(recorder.names, ['store', 'declare', 'publish'], 'one try, then it waits');
    broker.enter('connecting');
    await settled();
    t.equal(recorder.names.length, 3, 'it is not there yet');
    recorder.fail('publish', null);
    broker.enter('connected');
    await bench.settler.idle();
    t.same(recorder.names.slice(3), ['publish', ...('acksLate' in offer ? ['ack'] : []), 'settled']);
    t.equal(broker.published.length, 1);
  }
});

t.test('a broker that is stopped while one waits for it ends the waiting', async (t) => {
  const bench = new SettleBench();
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  bench.broker.enter('lost');
  bench.recorder.fail('publish', away);
  bench.recorder.fail('requeue', away);
  succeed(request, job);
  await bench.log.event('task.follow-up-delayed');
  bench.broker.enter('stopped');
  await bench.settler.idle();
  t.match(await bench.log.event('task.requeue-failed'), { message: /Couldn't requeue tasks\.add\[task-1\], reason: the broker is away/ });
  t.notOk(bench.recorder.names.includes('store'));
});

t.test('a worker that stops without what is not recorded says what becomes of each task, and that is no failure of it', async (t) => {
  for (const offer of [late, {}]) {
    const bench = new SettleBench();
    const { recorder, broker, log } = bench;
    const { request, job } = await bench.started(offer);
    addFollowUp(job);
    broker.enter('lost');
    recorder.fail('publish', away);
    succeed(request, job);
    await log.event('task.follow-up-delayed');
    const since = log.lines.length;
    bench.settler.giveUp();
    broker.enter('stopped');
    await bench.settler.idle();
    t.same(recorder.names, ['declare', 'publish', 'publish', 'settled'], 'its message goes back with all others');
    const said = log.lines.slice(since);
    t.match(said, [
      'acksLate' in offer
        ? {
            level: 'warning',
            event: 'task.unrecorded',
            message: /the broker is away\. Its message is not acknowledged and is delivered again$/,
          }
        : {
            level: 'error',
            event: 'task.unrecorded',
            message: /the broker is away\. Its message was acknowledged when it began: .* are lost$/,
          },
    ]);
    t.equal(said.length, 1);
  }
});

t.test('what is refused for good fails its task also then', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('publish', refusal);
  const { request, job } = await bench.started(late);
  addFollowUp(job);
  bench.settler.giveUp();
  succeed(request, job);
  await bench.settler.idle();
  t.match(bench.backend.records, [{ status: 'FAILURE', resultJson: /no such queue/ }]);
  t.match(await bench.log.event('task.settle-failed'), { level: 'critical' });
});

t.test('a result that cannot be stored: the message goes back', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('store', broken);
  const { request, job } = await bench.started(late);
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['store', 'requeue', 'settled']);
  t.match(await bench.log.event('task.settle-failed'), { level: 'critical', message: /the backend is broken/ });
});

t.test('the same with early acks: said, and the worker goes on', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('store', broken);
  const { request, job } = await bench.started({ trackStarted: true });
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['store', 'settled']);
  t.ok(bench.log.lines.some(({ event, level }) => event === 'task.settle-failed' && level === 'critical'));
  bench.recorder.fail('store', null);
  const next = await bench.started();
  succeed(next.request, next.job);
  await bench.settler.idle();
  t.equal(bench.settledRequests.length, 2);
});

t.test('an acknowledgement that fails: said, and off our hands; the broker delivers it again', async (t) => {
  const bench = new SettleBench();
  bench.recorder.fail('ack', away);
  const { request, job } = await bench.started(late);
  succeed(request, job);
  await bench.settler.idle();
  t.same(bench.recorder.names, ['store', 'ack', 'requeue', 'settled']);
  t.ok(bench.log.lines.some(({ event }) => event === 'task.settle-failed'));
});

t.test('an acknowledgement that comes too late', async (t) => {
  const bench = new SettleBench();
  bench.subscription.outcome = 'stale';
  const { request, job } = await bench.started(late);
  succeed(request, job);
  await bench.settler.idle();
  t.equal(request.lost, true);
  t.match(await bench.log.event('task.ack-stale'), {
    level: 'warning',
    message: /no longer ours when it was acknowledged; it is delivered again/,
  });
});

t.test('a message the broker took away: its end here counts for nothing', async (t) => {
  const finishes = [
    succeed,
    end('failed', { failedSteps: [{ taskId: 'step-2', groupId: null }] }),
    end('retried'),
    end('ignored'),
    end('rejected'),
    loseChild,
  ];
  for (const finish of finishes) {
    const bench = new SettleBench();
    const { request, job } = await bench.started(late);
    addFollowUp(job);
    request.lost = true;
    finish(request, job);
    await bench.settler.idle();
    t.same(bench.recorder.names, ['settled'], 'no follow-up, no result, no acknowledgement');
  }
});
