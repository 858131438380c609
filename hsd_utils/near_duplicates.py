"""Near duplicates, and the clusters of posts that must not be split over samples.

Two posts are near duplicates when the cosine of their sets of character n-grams (3 to 5, inside
words) reaches a threshold.  That is a matter of the two texts alone, not of the collection they
are in, so a finished sample can be checked again by the same rule.

    python -c "from hsd_utils.near_duplicates import pairs; \\
        print(pairs(['what a nice day', 'What a nice day!', 'rain'], 0.8))"
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

COMPARED = 2_000  # characters of a post that are looked at
_CHUNK = 1_000


def pairs(texts: Iterable[str], threshold: float) -> np.ndarray:
    """Rows (i, j), i < j, of the texts whose cosine is at least ``threshold`` (above 0, up to 1).

    Exact, by prefix filtering (Bayardo, Ma and Srikant 2007): with n-grams ordered from rare to
    common, a pair that shares too few of its rare ones cannot reach the threshold.  4,500 posts
    of ordinary length take about two seconds.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"near_duplicate is a cosine above 0 and up to 1, not {threshold}")
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), binary=True)
    grams = vectorizer.fit_transform(text[:COMPARED] for text in texts).tocsr()
    grams = grams[:, np.argsort(grams.getnnz(axis=0), kind="stable")]
    grams.sort_indices()
    size = grams.getnnz(axis=1)
    # The last `common` n-grams of a text can never reach the threshold on their own.
    common = np.ceil(threshold**2 * size - 1e-9).astype(int) - 1
    from_end = np.repeat(grams.indptr[1:], size) - np.arange(grams.nnz)
    rare = grams.copy()
    rare.data = (from_end > np.repeat(common, size)).astype(int)
    rare.eliminate_zeros()
    found = [np.empty((0, 2), dtype=int)]
    for start in range(0, grams.shape[0], _CHUNK):
        block = (rare[start : start + _CHUNK] @ rare.T).tocoo()
        i, j = block.row + start, block.col
        enough = threshold * np.sqrt(size[i] * size[j]) - 1e-9
        likely = (i < j) & (np.minimum(size[i], size[j]) >= enough)
        likely &= block.data + np.maximum(common[i], common[j]) >= enough
        i, j, enough = i[likely], j[likely], enough[likely]
        for part in np.array_split(np.arange(len(i)), len(i) // 20_000 + 1):
            shared = np.asarray(grams[i[part]].multiply(grams[j[part]]).sum(axis=1)).ravel()
            near = part[shared >= enough[part]]
            found.append(np.column_stack((i[near], j[near])))
    return np.concatenate(found)


def clustered(
    pool: pd.DataFrame, others: pd.DataFrame, threshold: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Cluster numbers of the pool, those that ``others`` belong to, and pairs in the pool.

    Posts of one group or of one of the ``pairs`` share a cluster.  Others are compared wherever
    they lie: of their group the pool may hold only other posts.
    """
    seen = pd.concat([pool, others[~others["id"].isin(pool["id"])]], ignore_index=True)
    linked, count = pairs(seen["text"], threshold), len(seen)
    # A graph whose nodes are posts and, after them, their groups.
    left = np.concatenate((np.arange(count), linked[:, 0]))
    right = np.concatenate((count + pd.factorize(seen["group"])[0], linked[:, 1]))
    links = sparse.coo_matrix((np.ones(len(left)), (left, right)), shape=2 * [2 * count])
    cluster = connected_components(links, directed=False)[1][:count]
    known = np.intersect1d(cluster[seen["id"].isin(others["id"])], cluster[: len(pool)])
    return cluster[: len(pool)], known, int((linked[:, 1] < len(pool)).sum())
