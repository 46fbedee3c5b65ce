import t from 'tap';
import { type Publisher, publisher, setPublisher } from '../../src/task/publisher.ts';

t.test('nobody sends', async (t) => {
  t.throws(() => publisher(), { code: 'NO_APP', message: /there is no app: create one with new App\(\{\.\.\.\}\) and start it first$/ });
});

t.test('one slot per process, shared by copies of the library', async (t) => {
  t.teardown(() => setPublisher(undefined));
  const refuse = () => Promise.reject(new Error('not called'));
  const mine: Publisher = { call: refuse, apply: refuse };
  setPublisher(mine);
  t.equal(publisher(), mine);
  const copyUrl = new URL('../../src/task/publisher.ts?copy', import.meta.url).href;
  const copy: typeof import('../../src/task/publisher.ts') = await import(copyUrl);
  t.not(copy.setPublisher, setPublisher);
  t.equal(copy.publisher(), mine);
});
