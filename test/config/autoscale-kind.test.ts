/** The range of --autoscale, from text and from TOML. */
import t from 'tap';
import { autoscaleRange } from '../../src/config/autoscale-kind.ts';
import { Refusal } from '../../src/config/kind.ts';

const kind = autoscaleRange();

t.test('the most first, the least 0 when it is not said', (t) => {
  t.same(kind.readText('10,3'), { max: 10, min: 3 });
  t.same(kind.readText(' 4 , 4 '), { max: 4, min: 4 });
  t.same(kind.readText('7'), { max: 7, min: 0 });
  t.same(kind.readValue('10,3'), { max: 10, min: 3 });
  t.same(kind.readValue(5), { max: 5, min: 0 });
  t.same(kind.readValue({ max: 6, min: 2 }), { max: 6, min: 2 });
  t.equal(kind.toToml({ max: 10, min: 3 }), '"10,3"');
  t.end();
});

t.test('anything else is refused', (t) => {
  for (const text of ['3,10', '0', '', 'auto', '1,2,3', '-1', '2.5']) t.ok(kind.readText(text) instanceof Refusal, text);
  for (const value of [1.5, -1, 0, true, [10, 3], { max: 1, min: 2 }, { min: 1 }, null])
    t.ok(kind.readValue(value) instanceof Refusal, String(value));
  t.match(kind.readText('3,10'), { reason: /must be 'MAX,MIN' or 'MAX'.*got "3,10"/ });
  t.end();
});
