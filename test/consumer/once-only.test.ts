/** Of a body that was sent twice one copy runs, and the same copy again when it is delivered again. */
import t from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Delivery } from '../../src/broker/broker.ts';
import { OnceOnly } from '../../src/consumer/once-only.ts';
import { Orphans, type OrphansParams } from '../../src/consumer/orphans.ts';
import type { Decision } from '../../src/consumer/strategy.ts';
import { ownHeaders } from '../../src/protocol/named-headers.ts';
import { ChurnMap } from '../../src/std/churn-map.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { settled } from './doubles.ts';

const decision = { kind: 'run', header: { id: 'body', task: 'tsum' } } as unknown as Decision;

function copy(mark: string | null, redelivered = false): Delivery {
  return { tag: String(mark), redelivered, headers: mark === null ? {} : { [ownHeaders.once]: mark } } as unknown as Delivery;
}

t.test('one copy runs', async (t) => {
  const done: string[] = [];
  const once = new OnceOnly({ backend: new MemoryBackend({ resultExpiresMs: null }), log: new RecordingLog() });
  once.attach({
    subscription: {
      ack: async ({ tag }) => {
        done.push(`drop ${tag}`);
        return 'done';
      },
    },
    carryOut: ({ tag }) => void done.push(`run ${tag}`),
  });
  const look = async (delivery: Delivery): Promise<string | undefined> => {
    t.equal(once.looksAt(delivery, decision), true);
    await settled();
    return done.at(-1);
  };
  t.equal(once.looksAt(copy(null), decision), false, 'most have no mark');
  t.equal(once.looksAt(copy('a'), { kind: 'unknown' }), false, 'what does not run now is looked at when it does');
  t.equal(await look(copy('a')), 'run a');
  t.equal(await look(copy('b')), 'drop b', 'sent again');
  t.equal(await look(copy('a', true)), 'run a', 'delivered again: its worker may have died');
  t.equal(await look(copy('a')), 'drop a', 'taken twice by the broker');
  t.equal(await look(copy('b', true)), 'drop b');
  t.equal(done.length, 5);
});

t.test('a backend that does not answer keeps no task', async (t) => {
  const backend = new MemoryBackend({ resultExpiresMs: null });
  backend.groups.claimRun = () => Promise.reject(new Error('away'));
  const log = new RecordingLog();
  const once = new OnceOnly({ backend, log });
  let runs = 0;
  once.attach({
    subscription: { ack: async () => 'done' },
    carryOut: () => {
      runs += 1;
    },
  });
  t.equal(once.looksAt(copy('a'), decision), true);
  await settled();
  t.equal(runs, 1);
});

t.test('lost with its connection while it is looked at: it runs when it comes again, and not beside that', async (t) => {
  const backend = new MemoryBackend({ resultExpiresMs: null });
  const done: string[] = [];
  const broker = { features: { redelivers: true } };
  const orphans = new Orphans({ backend, log: new RecordingLog(), broker } as unknown as OrphansParams);
  const subscription = { ack: async () => 'done' as const, reject: async () => 'done' as const };
  orphans.attach({ held: new ChurnMap(), subscription, carryOut: ({ tag, redelivered }) => void done.push(`${tag} ${redelivered}`) });
  const failing = copy('b');
  const first = copy('a');
  t.ok(orphans.reunite(first, decision));
  orphans.lost(first);
  await settled();
  t.same(done, []);
  t.ok(orphans.reunite(copy('a', true), decision));
  await settled();
  t.same(done, ['a true']);
  backend.groups.claimRun = () => Promise.reject(new Error('away'));
  t.ok(orphans.reunite(failing, decision));
  orphans.lost(failing);
  await settled();
  t.same(done, ['a true'], 'nor when the backend does not answer');
});
