/**
 * Hides the passwords in URLs before they are shown.
 *
 * Works on text, not on parsed URLs, so that a malformed URL, a list of URLs (`a;b`, `a,b`) or a sentence with one is masked as well:
 * whatever could be a password is hidden, at the price of sometimes hiding more. The user name stays, as in Celery's own output
 * (`amqp://me:**@host//`). Takes time linear in the length of the text.
 *
 * Never does: changing a URL that somebody will connect with.
 */

/** ?password=…, &token=…, &ssl_key_password=… */
const secretParameter = /([?&][\w.-]{0,40}?(?:password|passwd|secret|token|api_?key)[\w.-]{0,40}=)([^&#\s;,"']+)/gi;

/** Every password, token and key inside the URLs of `text` replaced by `mask`. */
export function maskUrl(text: string, mask = '**'): string {
  if (!text.includes('://')) return text;
  const [first = '', ...rests] = text.split('://');
  return [first, ...rests.map((rest) => maskUserInfo(rest, mask))].join('://').replace(secretParameter, `$1${mask}`);
}

/** `rest` is what follows `://`, up to the next `://` (and so ends with the scheme of the next URL, if there is one). */
function maskUserInfo(rest: string, mask: string): string {
  const end = rest.search(/[\s;"'<>]/);
  const url = end < 0 ? rest : rest.slice(0, end);
  const authorityEnd = url.search(/[/?#]/);
  const authority = authorityEnd < 0 ? url : url.slice(0, authorityEnd);
  const colon = authority.indexOf(':');
  // An @ only after the authority: an unescaped `/`, `?` or `#` inside the password.
  const at = Math.max(authority.lastIndexOf('@'), colon < 0 || authority.includes('@') ? -1 : url.lastIndexOf('@'));
  return colon >= 0 && colon < at ? `${rest.slice(0, colon + 1)}${mask}${rest.slice(at)}` : rest;
}
