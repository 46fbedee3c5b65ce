/** The parts of a URL that Redis and RabbitMQ read alike. Against kombu's reading: redis-url.test.ts, amqp-url.test.ts. */
import t from 'tap';
import { ServerUrl, splitUrls } from '../../src/driver/server-url.ts';

const read = (text: string): ServerUrl => new ServerUrl(text, { url: 'a test URL', path: 'path' });

t.test('several', async (t) => {
  t.strictSame(splitUrls(' a://h ;; b://h,c+d://h,e '), ['a://h', 'b://h', 'c+d://h,e']);
});

t.test('parts: a password may hold anything but the end of the place', async (t) => {
  const url = read('TEST://us%40er:p@ss:w%2Frd@[::1]:7/a/b?x=1?2&y=%20');
  t.match(url, { scheme: 'test', username: 'us@er', password: 'p@ss:w/rd', place: '[::1]:7/a/b', path: 'a/b' });
  t.strictSame(url.authority(1), { host: '::1', port: 7 });
  t.strictSame(
    [...url.query],
    [
      ['x', '1?2'],
      ['y', ' '],
    ],
  );
  t.match(read('test://'), { scheme: 'test', username: '', password: '', path: '' });
  t.strictSame(read('test:///p').authority(5), { host: 'localhost', port: 5 });
  t.equal(read('no scheme').scheme, '');
});

t.test('words for yes and no, and times', async (t) => {
  for (const word of ['1', 'true', 'T', 'yes', 'y', 'ON']) t.equal(read(`test://h?k=${word}`).boolean('k'), true, word);
  for (const word of ['0', 'False', 'f', 'no', 'n', 'off', '']) t.equal(read(`test://h?k=${word}`).boolean('k'), false, word);
  t.equal(read('test://h').boolean('k'), undefined);
  t.throws(() => read('test://u:geheim@h?k=maybe').boolean('k'), {
    message: "k must be true or false, got 'maybe' in 'test://u:**@h?k=maybe'",
  });
  t.equal(read('test://h?k=1.5').milliseconds('k'), 1500);
  t.throws(() => read('test://h?k=-1').milliseconds('k'), { message: /k must be a number of seconds, got '-1'/ });
});

t.test('TLS: the query is stronger than the settings, and what neither says is strict', async (t) => {
  t.strictSame(read('test://h').tls({}), { certReqs: 'required', checkHostname: true });
  t.strictSame(read('test://h').tls({ certReqs: 'optional' }), { certReqs: 'optional', checkHostname: false });
  t.equal(read('test://h').tls({ checkHostname: false }).checkHostname, false);
  const settings = { caFile: 'a', certFile: 'b', keyFile: 'c', keyPassword: 'd', serverHostname: 'e', ciphers: 'f' };
  t.match(read('test://h').tls(settings), settings);
  const keys =
    'ssl_ca_certs=1&ssl_certfile=2&ssl_keyfile=3&ssl_password=4&ssl_server_hostname=5&ssl_check_hostname=no&ssl_cert_reqs=ssl.CERT_NONE';
  t.strictSame(read(`test://h?${keys}`).tls({ ...settings, checkHostname: true, certReqs: 'required' }), {
    certReqs: 'none',
    checkHostname: false,
    caFile: '1',
    certFile: '2',
    keyFile: '3',
    keyPassword: '4',
    serverHostname: '5',
    ciphers: 'f',
  });
});
