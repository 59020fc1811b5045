"""Hierarchical softmax: against the flat softmax over its own probabilities, by every tree; what it costs."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from luthier.errors import SettingError
from luthier.nets import MLP, HierarchicalSoftmax
from luthier.nets.hierarchical import class_means
from luthier.training import Settings, Trainer, make_optimizer

GUIDES = {
    "balanced": lambda classes: None,
    "frequency": lambda classes: 1.0 / np.arange(1, classes + 1) ** 1.2,
    "similarity": lambda classes: np.random.default_rng(0).normal(size=(classes, 5)),
}


def head(classes, tree="balanced", **options):
    torch.manual_seed(classes)
    made = HierarchicalSoftmax(6, classes, tree=tree, guide=GUIDES[tree](classes), **options).double()
    made.weight.data *= 3.0
    return made


@pytest.mark.parametrize("tree", list(GUIDES))
@pytest.mark.parametrize("branching", [2, 3, 16])
@pytest.mark.parametrize("classes", [2, 3, 17, 300])
def test_probabilities_sum_to_one_and_the_loss_and_its_gradient_are_theirs(classes, branching, tree):
    made = head(classes, tree, branching=branching)
    features = torch.randn(20, 6, dtype=torch.double, requires_grad=True)
    y = torch.randint(classes, (20,))
    whole = made.log_probabilities(features)
    torch.testing.assert_close(whole.exp().sum(1), torch.ones(20, dtype=torch.double))
    path, flat = made.loss(features, y), functional.nll_loss(whole, y)
    torch.testing.assert_close(path, flat)
    wanted = (made.weight, features)
    for ours, theirs in zip(torch.autograd.grad(path, wanted), torch.autograd.grad(flat, wanted), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("tree", list(GUIDES))
@pytest.mark.parametrize("beam", [1, 4])
def test_the_descent_finds_the_likeliest_class(tree, beam):
    for classes in (2, 40, 700):
        made = head(classes, tree)
        features = torch.randn(50, 6, dtype=torch.double)
        assert torch.equal(made.predict(features, beam=beam), made.log_probabilities(features).argmax(1))


def test_a_sparse_gradient_is_the_same_and_holds_the_paths_of_the_batch_only():
    dense, sparse = head(5000), head(5000, sparse=True)
    features, y = torch.randn(4, 6, dtype=torch.double), torch.tensor([1, 1, 2500, 4999])
    dense.loss(features, y).backward()
    sparse.loss(features, y).backward()
    assert sparse.weight.grad.is_sparse
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)
    assert len(sparse.weight.grad.coalesce().values()) <= dense.high + 4 * len(dense.sizes)


def test_what_a_step_computes_grows_like_the_logarithm_of_the_classes():
    work = []
    for classes in (10, 100, 1000, 10_000):
        made = HierarchicalSoftmax(4, classes, branching=16)
        work.append(made.path.shape[1] * made.child_class.shape[1])  # decisions on a path times choices of each
    assert work == [10, 20, 30, 40]


def test_frequent_classes_have_short_paths_and_rare_ones_no_endless_ones():
    counts = 2.0 ** -np.arange(60)
    made = HierarchicalSoftmax(4, 60, tree="frequency", guide=counts, branching=2)
    lengths = (made.path[..., 0] >= 0).sum(1)
    assert int(lengths[0]) <= 2
    assert int(lengths.max()) <= 16
    entropy = HierarchicalSoftmax(4, 8, tree="frequency", guide=np.full(8, 5.0), branching=2)
    assert set((entropy.path[..., 0] >= 0).sum(1).tolist()) == {3}  # Huffman's code of equal counts is balanced


def test_similar_classes_share_a_node():
    centers = np.array([[0.0, 0.0], [9.0, 9.0], [0.1, 0.1], [9.1, 9.0]])
    made = HierarchicalSoftmax(2, 4, tree="similarity", guide=centers, branching=2)
    last = [int(path[path[:, 0] >= 0][-1, 0]) for path in made.path]
    assert last[0] == last[2] != last[1] == last[3]


def clusters(classes=30, rows=1500):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(classes, 10, generator=generator)
    y = torch.randint(classes, (rows,), generator=generator)
    return centers[y] + 0.6 * torch.randn(rows, 10, generator=generator), y


def test_it_learns_as_well_as_the_flat_softmax_and_goes_through_the_trainer():
    x, y = clusters()
    means = class_means(x, y, 30)
    tree = HierarchicalSoftmax(48, 30, tree="similarity", guide=means, branching=6)
    accuracies = []
    for last in (torch.nn.Linear(48, 30), HierarchicalSoftmax(48, 30), tree):
        torch.manual_seed(0)
        model = torch.nn.Sequential(MLP(10, 48, depth=1, width=48), torch.nn.ReLU(), last)  # scores of all classes
        trainer = Trainer(model, make_optimizer(model, "adam", lr=0.01), settings=Settings(epochs=8, batch_size=50))
        accuracies.append(trainer.fit((x[:1000], y[:1000]), (x[1000:], y[1000:]))[-1]["acc"])
    assert accuracies[1] > accuracies[0] - 0.03  # one node: the flat softmax, from other first weights
    assert accuracies[2] > accuracies[0] - 0.06

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(MLP(10, 48, depth=1, width=48), torch.nn.ReLU())
            self.head = HierarchicalSoftmax(48, 30, tree="similarity", guide=means)

        def forward(self, x):
            return self.body(x)

    model = Features()  # cheap training: the loss takes the features and computes the paths of the batch only
    optimizer = make_optimizer(model, "adam", lr=0.01)
    trainer = Trainer(model, optimizer, model.head.loss, settings=Settings(epochs=8, batch_size=50))
    trainer.fit((x[:1000], y[:1000]))
    said = model.head.predict(trainer.predict(x[1000:]))
    assert float((said == y[1000:]).double().mean()) > accuracies[0] - 0.06


def test_batches_of_one_class_and_more_classes_than_rows_are_trained():
    made = HierarchicalSoftmax(6, 900, sparse=True)
    optimizer = torch.optim.SparseAdam(made.parameters(), 0.05)
    features, y = torch.randn(5, 6), torch.full((5,), 898)
    first = float(made.loss(features, y).detach())
    for _ in range(80):
        optimizer.zero_grad()
        made.loss(features, y).backward()
        optimizer.step()
    assert float(made.loss(features, y).detach()) < 0.2 * first
    assert made.predict(features).tolist() == [898] * 5


def test_its_state_is_saved_and_loaded_tree_and_all():
    first = HierarchicalSoftmax(6, 50, tree="similarity", guide=np.random.default_rng(1).normal(size=(50, 3)))
    second = HierarchicalSoftmax(6, 50)
    second.load_state_dict(first.state_dict())
    x = torch.randn(8, 6)
    torch.testing.assert_close(second.log_probabilities(x), first.log_probabilities(x))


def test_class_means_are_means_and_a_class_without_rows_gets_the_mean_of_all():
    x, y = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2])
    assert class_means(x, y, 3).tolist() == [[2.0], [3.0], [5.0]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tree": "balancd"}, "did you mean 'balanced'"),
        ({"tree": "frequency"}, "how often each class occurs"),
        ({"tree": "similarity", "guide": [1.0, 2.0, 3.0]}, "a vector of each class"),
        ({"tree": "frequency", "guide": [1.0, -2.0, 3.0]}, "how often"),
        ({"branching": 1}, "two branches"),
    ],
)
def test_bad_settings_are_told(arguments, words):
    with pytest.raises(SettingError, match=words):
        HierarchicalSoftmax(4, 3, **arguments)
    with pytest.raises(SettingError, match="two classes"):
        HierarchicalSoftmax(4, 1)


def test_up_to_128_classes_it_is_the_flat_softmax():
    made = HierarchicalSoftmax(6, 100).double()
    x = torch.randn(9, 6, dtype=torch.double)
    weight = made.weight.view(100, 7)
    flat = functional.linear(x, weight[:, :-1], weight[:, -1]).log_softmax(1)
    torch.testing.assert_close(made.log_probabilities(x), flat[:, made.slot])
    assert HierarchicalSoftmax(6, 129).sizes == (1, 12)
