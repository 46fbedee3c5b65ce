import t from 'tap';
import { FakeClock } from '../../src/std/clock.ts';
import { ExpiringSet } from '../../src/std/expiring-set.ts';

function set(maxSize = 3, maxAgeMs = 1000): { readonly clock: FakeClock; readonly set: ExpiringSet; members(): string[] } {
  const clock = new FakeClock();
  const made = new ExpiringSet({ clock, maxSize, maxAgeMs });
  return { clock, set: made, members: () => [...made.ages()].map(([member]) => member) };
}

t.test('members grow old, whatever the clock on the wall says', async (t) => {
  const { clock, set: one, members } = set();
  one.add('a');
  clock.jumpTo(clock.now() + 86_400_000);
  clock.advance(999);
  t.equal(one.has('a'), true);
  clock.advance(1);
  t.equal(one.has('a'), false);
  t.strictSame(members(), []);
  t.equal(one.size, 0);
});

t.test('the oldest go first, and what is added again is young', async (t) => {
  const { clock, set: one, members } = set();
  for (const member of ['a', 'b', 'c']) {
    one.add(member);
    clock.advance(10);
  }
  one.add('a');
  one.add('d');
  t.strictSame(members(), ['c', 'a', 'd']);
  t.equal(one.age('c'), 10);
  t.equal(one.age('b'), undefined);
});

t.test('merged by age: the younger of two counts, what is too old does not, and the bound holds', async (t) => {
  const { clock, set: one, members } = set();
  one.add('mine');
  clock.advance(100);
  const added = one.merge([
    ['mine', 500],
    ['old', 1000],
    ['older', 600],
    ['young', 50],
    ['young', 70],
    ['of the future', -5],
  ]);
  t.strictSame(members(), ['mine', 'young', 'of the future'], 'sorted by age; one too many');
  t.strictSame(added, ['young', 'of the future']);
  t.strictSame([one.age('mine'), one.age('young'), one.age('of the future')], [100, 50, 0]);
  t.strictSame(one.merge([['mine', 20]]), [], 'it was known');
  t.equal(one.age('mine'), 20, 'and is younger now');
});
