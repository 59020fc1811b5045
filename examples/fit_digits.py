"""The whole job on scikit-learn's digits: look, tune, retrain, test once, save. Run it again and it goes on."""

from sklearn.datasets import load_digits

from luthier.estimators import fit, load

if __name__ == "__main__":
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8)
    net = fit(x, y, budget="3m", dir="runs/digits")
    print(net.test_["result"]["metrics"])
    print(load("runs/digits").predict(x[:5]), "are", y[:5])
