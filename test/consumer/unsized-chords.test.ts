/** Chords of which nobody knows how many parts they have: looked at when nothing has ended for a while, and given up by one. */
import t from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { UnsizedChords, type UnsizedChordsParams } from '../../src/consumer/unsized-chords.ts';
import type { FollowUp } from '../../src/pool/job.ts';
import type { ChordPartEnd } from '../../src/protocol/chord-part.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { record } from '../backend/conformance.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { settled } from './doubles.ts';

const graceMs = 300_000;

function part(groupId: string, taskId: string): ChordPartEnd {
  const failed = [{ taskId: `${groupId}-body`, groupId: null }];
  return { part: 1, taskId, groupId, groupIndex: 0, chordSize: null, resultsToken: '', bodyError: null, failed, outer: [] };
}

class Scene {
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly backend = new MemoryBackend({ resultExpiresMs: null, clock: this.clock });
  readonly given: string[] = [];
  readonly chords: UnsizedChords;

  constructor(more: Partial<UnsizedChordsParams> = {}) {
    const { backend, clock, log } = this;
    this.chords = new UnsizedChords({
      backend,
      groups: backend.groups,
      clock,
      log,
      fail: async ({ groupId }, { exception }, followUps) => {
        this.given.push(`${groupId}: ${exception.exc_message} ${followUps.length}`);
      },
      ...more,
    });
  }

  /** As a worker ends a part. */
  async end(groupId: string, taskId: string): Promise<void> {
    const ended = part(groupId, taskId);
    const outcome = await this.backend.groups.storeChordPart(record(taskId, 'SUCCESS', 1), { ...ended, ignoreResult: false });
    if (outcome.kind === 'unsized') this.chords.note(ended, [{} as FollowUp], outcome.counted);
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settled();
  }
}

t.test('given up when none of its parts has ended for so long, and not before', async (t) => {
  const scene = new Scene();
  await scene.end('g', 'a');
  await scene.pass(graceMs - 1);
  await scene.end('g', 'b');
  await scene.pass(graceMs - 1);
  t.strictSame(scene.given, []);
  await scene.pass(1);
  t.strictSame(scene.given, ['g: the size of chord g was lost or never stored: 2 parts have ended, and of how many is not known 1']);
  await scene.pass(10 * graceMs);
  t.equal(scene.given.length, 1);
});

t.test('parts that end on other workers count too', async (t) => {
  const scene = new Scene();
  await scene.end('g', 'a');
  await scene.backend.groups.storeChordPart(record('b', 'SUCCESS', 1), { ...part('g', 'b'), ignoreResult: false });
  await scene.pass(graceMs);
  t.strictSame(scene.given, [], 'it has grown');
  await scene.pass(graceMs);
  t.match(scene.given, [/: 2 parts have ended/]);
});

t.test('one whose size has come, and one whose body is there, are left alone', async (t) => {
  const scene = new Scene();
  for (const groupId of ['sized', 'sent', 'lost']) await scene.end(groupId, `${groupId}-a`);
  await scene.backend.groups.setChordSize('sized', 9);
  await scene.backend.store(record('sent-body', 'STARTED', null));
  await scene.pass(graceMs);
  t.match(scene.given, [/^lost: /]);
  t.equal(scene.given.length, 1);
});

t.test('a backend that does not answer is asked again', async (t) => {
  const scene = new Scene();
  await scene.end('g', 'a');
  const { get } = scene.backend;
  scene.backend.get = () => Promise.reject(new Error('away'));
  await scene.pass(graceMs);
  t.match(await scene.log.event('chord.unsized'), { level: 'warning', message: /Chord g .*: away/ });
  scene.backend.get = get;
  await scene.pass(graceMs);
  t.equal(scene.given.length, 1);
});

t.test('a worker that stops looks at none', async (t) => {
  const scene = new Scene();
  await scene.end('g', 'a');
  scene.chords.stop();
  await scene.pass(graceMs);
  t.strictSame(scene.given, []);
});
