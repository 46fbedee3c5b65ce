import t from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { type BackendConformanceParams, backendConformance, record } from './conformance.ts';
import { groupsConformance } from './groups-conformance.ts';

const params: BackendConformanceParams = {
  name: 'memory',
  open: async () => ({
    shared: false,
    create: async (resultExpiresMs) => new MemoryBackend({ resultExpiresMs }),
    close: async () => {},
  }),
};
backendConformance(t, params);
groupsConformance(t, params);

t.test('cleanup deletes what has expired and nothing else', async (t) => {
  const clock = new FakeClock();
  const backend = new MemoryBackend({ resultExpiresMs: 1000, clock });
  await backend.store(record('a', 'SUCCESS', 1));
  clock.advance(600);
  await backend.store(record('b', 'SUCCESS', 2));
  clock.advance(500);
  t.equal(await backend.cleanup(), 1);
  t.equal(await backend.get('a'), null);
  t.equal((await backend.get('b'))?.result, 2);
});
