/** Snapshots are taken one after the other, never faster than allowed; one that fails does not end it. */
import t from 'tap';
import { Camera, type CameraFunctions } from '../../src/event/camera.ts';
import type { ReceivedEvent } from '../../src/event/receiver.ts';
import { State } from '../../src/event/state.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

function scene(functions: CameraFunctions, options: { minIntervalMs?: number; cleanupIntervalMs?: number } = {}) {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const state = new State({ clock });
  const camera = new Camera({ functions, state, intervalMs: 1000, log, clock, ...options });
  camera.start();
  const pass = async (seconds: number): Promise<void> => {
    for (let n = 0; n < seconds; n++) {
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { log, state, camera, pass };
}

const event = { type: 'task-succeeded', uuid: 'a', hostname: 'w', timestamp: 1, local_received: 1, clock: 1 } as ReceivedEvent;

t.test('one a second, and one at the end', async (t) => {
  const seen: number[] = [];
  const { camera, state, pass } = scene({ onShutter: ({ tasks }) => seen.push(tasks.size), clearAfter: true });
  await pass(1);
  state.event(event);
  await pass(2);
  state.event(event);
  await camera.stop();
  await pass(3);
  t.same(seen, [0, 1, 0, 1], 'what has ended is forgotten after each');
});

t.test('the next waits for a slow one; a failure is said', async (t) => {
  const gate = Promise.withResolvers<void>();
  let taken = 0;
  const { camera, pass, log } = scene({
    onShutter: async () => {
      taken++;
      if (taken === 1) throw new Error('no disk');
      await gate.promise;
    },
  });
  await pass(5);
  t.equal(taken, 2);
  t.match((await log.event('event.camera-failed')).message, /snapshot of the camera failed: no disk/);
  gate.resolve();
  await pass(2);
  t.ok(taken > 2);
  await camera.stop();
});

t.test('no more than so many, and cleaning', async (t) => {
  let taken = 0;
  let cleaned = 0;
  const { camera, pass } = scene(
    { onShutter: () => taken++, onCleanup: () => cleaned++ },
    { minIntervalMs: 3000, cleanupIntervalMs: 4000 },
  );
  await pass(9);
  t.same([taken, cleaned], [3, 2]);
  await camera.stop();
});
