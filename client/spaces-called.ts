import { TidelogError } from '../protocol/errors.ts';

/** Of the beginning of an id, at least. */
const ID_DIGITS = 8;

/**
 * Of spaces, those that a person means by a name, an id or its beginning, 8 digits or more, in any case: the one with that whole id, for whoever founds a
 * space may call it by the id of another; else those with that name; else those whose id begins so.
 */
export function spacesCalled<S extends { readonly name: string }>(
  spaces: readonly S[],
  text: string,
  hexOf: (space: S) => string,
): readonly S[] {
  const hex = text.toLowerCase();
  const byId = spaces.filter((space) => hexOf(space) === hex);
  if (byId.length > 0) return byId;
  const byName = spaces.filter(({ name }) => name === text);
  if (byName.length > 0) return byName;
  return text.length >= ID_DIGITS ? spaces.filter((space) => hexOf(space).startsWith(hex)) : [];
}

/** The only one; throws `unknown-space`, and `bad-argument` for more than one. */
export function oneCalled<S extends { readonly name: string }>(
  spaces: readonly S[],
  text: string,
  hexOf: (space: S) => string,
): S {
  const found = spacesCalled(spaces, text, hexOf);
  const quoted = JSON.stringify(text);
  if (found.length === 0) throw new TidelogError('unknown-space', `there is no space ${quoted} here`);
  if (found.length > 1) {
    const beginnings = new Set(found.map((space) => hexOf(space).slice(0, ID_DIGITS)));
    const ids = beginnings.size === found.length ? [...beginnings] : found.map((space) => hexOf(space));
    throw new TidelogError(
      'bad-argument',
      `${found.length} spaces are called ${quoted}; say which by its id: ${ids.join(', ')}`,
    );
  }
  return found[0]!;
}
