"""Folders of images, recordings and texts: classes, parts, damaged files, odd formats."""

import os
import wave

import numpy as np
import pytest
import soundfile
from PIL import Image

from luthier.data import read
from luthier.data.images import LARGEST
from luthier.errors import DataError

RNG = np.random.default_rng(0)


def picture(path, size=(8, 6), mode="RGB", **options):
    """Write an image of noise, (H, W) in size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, len(mode))
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8), mode=None).save(path, **options)
    return path


def sound(path, samples, rate=8000, width=2, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples).tobytes())
    return path


@pytest.fixture
def pets(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        picture(tmp_path / name)
    return tmp_path


def said(dataset, words):
    return any(words in note for note in dataset.notes)


def test_a_folder_for_each_class_is_a_data_set_of_images(pets):
    dataset = read(pets)
    assert (dataset.task, dataset.classes, dataset.given) == ("image", ("cat", "dog"), None)
    assert dataset.inputs.shape == (4, 3, 8, 6) and dataset.inputs.dtype == np.uint8
    assert dataset.origins == ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    assert dataset.targets.tolist() == ["cat", "cat", "dog", "dog"]
    with Image.open(pets / "dog/1.png") as image:
        np.testing.assert_array_equal(dataset.inputs[2], np.asarray(image).transpose(2, 0, 1))


def test_train_and_test_folders_are_a_given_split(tmp_path):
    for part, count in (("train", 3), ("val", 1), ("Test", 2)):
        for label in ("cat", "dog"):
            for number in range(count):
                picture(tmp_path / part / label / f"{number}.png")
    picture(tmp_path / "stray" / "x.png")
    dataset = read(tmp_path)
    assert {part: int((dataset.given == part).sum()) for part in ("train", "valid", "test")} == {
        "train": 6,
        "valid": 2,
        "test": 4,
    }
    assert dataset.classes == ("cat", "dog") and said(dataset, "1 file beside the train and test folders left out")


def test_folders_named_train_are_classes_where_they_hold_files_themselves(tmp_path):
    for label in ("train", "plane"):
        picture(tmp_path / label / "1.png")
    assert read(tmp_path).classes == ("plane", "train")


def test_a_folder_around_the_folders_is_stepped_into(tmp_path):
    picture(tmp_path / "archive" / "cat" / "1.png")
    picture(tmp_path / "archive" / "dog" / "1.png")
    assert read(tmp_path).classes == ("cat", "dog")


def test_hidden_files_leftovers_and_loops_are_passed_over(pets):
    for name in (".DS_Store", "Thumbs.db", "cat/.hidden.png"):
        (pets / name).write_bytes(b"x")
    picture(pets / "__MACOSX" / "cat" / "1.png")
    os.symlink(pets, pets / "cat" / "loop")
    picture(pets.parent / "elsewhere" / "3.png")
    os.symlink(pets.parent / "elsewhere", pets / "bird")
    dataset = read(pets)
    assert dataset.classes == ("bird", "cat", "dog") and len(dataset) == 5


def test_damaged_images_are_left_out_and_named(pets):
    (pets / "cat" / "zero.png").write_bytes(b"")
    (pets / "dog" / "junk.jpg").write_bytes(b"no image at all")
    whole = picture(pets / "dog" / "cut.png", (50, 50)).read_bytes()
    (pets / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    dataset = read(pets)
    assert len(dataset) == 4 and len(dataset.targets) == 4
    told = next(note for note in dataset.notes if "not readable" in note)
    assert told.startswith("3 files of 7") and all(
        name in told for name in ("cat/zero.png", "dog/junk.jpg", "dog/cut.png")
    )


def test_an_image_that_would_unpack_to_too_much_is_left_out(pets):
    Image.new("1", (14_000, 14_000)).save(pets / "cat" / "bomb.png")
    dataset = read(pets)
    assert len(dataset) == 4 and said(dataset, "cat/bomb.png")


def test_only_damaged_images_are_an_error(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of 2 files can be read: cat/1.png \(no image\)"):
        read(tmp_path)


def test_images_of_other_sizes_become_the_most_common_one(pets):
    picture(pets / "dog" / "big.png", (20, 20))
    dataset = read(pets)
    assert dataset.inputs.shape == (5, 3, 8, 6) and said(dataset, "1 image of 5 resized to 8 x 6")


def test_many_sizes_become_the_median_and_large_ones_are_scaled_down(tmp_path):
    for number, size in enumerate([(10, 20), (30, 40), (20, 30)]):
        picture(tmp_path / "a" / f"{number}.png", size)
    assert read(tmp_path).inputs.shape[2:] == (20, 30)
    for number in range(3):
        picture(tmp_path / "b" / f"{number}.png", (2 * LARGEST, LARGEST))
    assert read(tmp_path).inputs.shape[2:] == (LARGEST, LARGEST // 2)


def test_gray_images_stay_gray_if_all_are(tmp_path):
    picture(tmp_path / "a" / "1.png", mode="L")
    picture(tmp_path / "b" / "1.jpg", mode="L")
    assert read(tmp_path).inputs.shape == (2, 1, 8, 6)
    picture(tmp_path / "b" / "2.png")
    mixed = read(tmp_path)
    assert mixed.inputs.shape == (3, 3, 8, 6) and said(mixed, "2 gray images among 3")


def test_transparent_parts_become_white_and_palettes_become_colors(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("P", (4, 4), 0).save(tmp_path / "index.gif")
    for name in ("clear.png", "index.gif"):
        (tmp_path / name[0]).mkdir()
        (tmp_path / name).rename(tmp_path / name[0] / name)
    dataset = read(tmp_path)
    assert (dataset.inputs[0] == 255).all() and said(dataset, "transparent")


def test_turned_photographs_are_turned_back(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a" / "1.jpg", (8, 6), exif=exif)
    picture(tmp_path / "b" / "1.jpg", (6, 8))
    assert read(tmp_path).inputs.shape == (2, 3, 6, 8)


def test_images_of_16_bits_keep_their_depth(tmp_path):
    deep = RNG.integers(0, 65536, (5, 5), dtype=np.uint16)
    (tmp_path / "a").mkdir()
    Image.fromarray(deep).save(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png", (5, 5), "L")
    dataset = read(tmp_path)
    assert dataset.inputs.dtype == np.float32 and said(dataset, "more than 8 bits")
    np.testing.assert_allclose(dataset.inputs[0, 0], deep / 65535, atol=1e-6)
    assert dataset.inputs.min() >= 0.0 and dataset.inputs.max() <= 1.0


def test_later_images_are_read_like_the_first_alone_or_in_a_folder(pets, tmp_path_factory):
    form = read(pets).form
    new = tmp_path_factory.mktemp("new")
    single = picture(new / "a.png", (30, 30), "L")
    picture(new / "b.png", (9, 9))
    for path, count in ((single, 1), (new, 2)):
        dataset = read(path, like=form)
        assert dataset.inputs.shape == (count, 3, 8, 6) and dataset.targets is None
    with pytest.raises(DataError, match="one image only"):
        read(single)
    with pytest.raises(DataError, match=r"2 files lie in none \(a.png, b.png\)"):
        read(new)


def test_names_of_folders_are_labels_as_they_are(tmp_path):
    for label in ("01", "NA", "10"):
        picture(tmp_path / label / "1.png")
    assert read(tmp_path).classes == ("01", "10", "NA")
    for label in ("01", "NA"):
        (tmp_path / label).rename(tmp_path / ("2" + label[:1]))
    assert read(tmp_path, task="image").classes == ("10", "20", "2N")


def test_folders_may_be_numbers_to_predict(tmp_path):
    for age in ("20", "35"):
        picture(tmp_path / age / "1.png")
    dataset = read(tmp_path, goal="number")
    assert dataset.goal == "number" and dataset.targets.tolist() == [20.0, 35.0]


def test_recordings_of_every_kind_come_to_one_rate_and_one_channel(tmp_path):
    wave8k = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    whole = (wave8k * 32767).astype("<i2")
    sound(tmp_path / "a" / "1.wav", whole)
    sound(tmp_path / "a" / "2.wav", np.repeat(whole, 2), channels=2)
    sound(tmp_path / "b" / "3.wav", ((wave8k + 1) * 127.5).round().astype("u1"), width=1)
    sound(tmp_path / "b" / "4.wav", (wave8k * 2147483647).astype("<i4"), width=4)
    soundfile.write(tmp_path / "b" / "5.flac", wave8k, 8000)
    soundfile.write(tmp_path / "b" / "6.wav", wave8k, 8000, subtype="FLOAT")
    fast = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    sound(tmp_path / "b" / "7.wav", (fast * 32767).astype("<i2"), rate=16000)
    dataset = read(tmp_path)
    assert (dataset.task, dataset.rate, dataset.classes) == ("audio", 8000, ("a", "b"))
    for clip in dataset.inputs:
        assert clip.dtype == np.float32 and len(clip) == 8000
        np.testing.assert_allclose(clip[100:-100], wave8k[100:-100], atol=0.015)
    assert said(dataset, "1 recording of 16,000 samples a second resampled to 8,000")
    assert said(dataset, "1 recording of several channels mixed into one")
    later = read(tmp_path / "b" / "7.wav", like=dataset.form)
    assert later.rate == 8000 and len(later.inputs[0]) == 8000


def test_damaged_and_empty_recordings_are_left_out_and_named(tmp_path):
    for label in ("a", "b"):
        sound(tmp_path / label / "1.wav", np.ones(100, "<i2"))
    sound(tmp_path / "a" / "none.wav", np.zeros(0, "<i2"))
    (tmp_path / "b" / "junk.wav").write_bytes(b"RIFFxxxx")
    (tmp_path / "b" / "junk.flac").write_bytes(b"nothing")
    sound(tmp_path / "b" / "slow.wav", np.ones(100, "<i2"), rate=7)
    dataset = read(tmp_path)
    assert dataset.origins == ("a/1.wav", "b/1.wav")
    assert (
        said(dataset, "b/junk.wav")
        and said(dataset, "b/junk.flac")
        and said(dataset, "b/slow.wav (a rate of 7")
        and said(dataset, "a/none.wav")
    )


def test_texts_in_folders_are_read_in_every_encoding(tmp_path):
    for label, text in (("good", "schön und gut"), ("bad", "übel")):
        (tmp_path / label).mkdir()
        for number, encoding in enumerate(["utf-8", "utf-16", "latin-1"]):
            (tmp_path / label / f"{number}.txt").write_text(text, encoding=encoding)
    (tmp_path / "bad" / "empty.txt").write_text("")
    (tmp_path / "bad" / "binary.txt").write_bytes(bytes(range(256)))
    dataset = read(tmp_path)
    assert dataset.task == "text" and len(dataset) == 6 and set(dataset.inputs) == {"schön und gut", "übel"}
    assert said(dataset, "2 files (bad/2.txt, ...): not UTF-8, read as cp1252") and said(dataset, "read as utf-16")
    assert said(dataset, "1 row without a text") and said(dataset, "bad/binary.txt")


@pytest.mark.parametrize(
    "names",
    [
        (("source.txt", "target.txt"),),
        (("train.src", "train.tgt"), ("test.src", "test.tgt")),
        (("train.en", "train.fr"), ("valid.en", "valid.fr")),
    ],
)
def test_files_of_which_lines_become_lines_are_sequences(tmp_path, names):
    for source, target in names:
        (tmp_path / source).write_text("a b\nc\nd e f\n")
        (tmp_path / target).write_text("A B\nC\n\n")
    dataset = read(tmp_path)
    assert dataset.task == "seq2seq" and len(dataset) == 2 * len(names)
    assert (dataset.inputs[1], dataset.targets[1]) == ("c", "C")
    assert (dataset.given is not None) == (len(names) > 1) and said(dataset, "without a text left out")


def test_sides_of_different_lengths_are_named(tmp_path):
    (tmp_path / "source.txt").write_text("a\nb\n")
    (tmp_path / "target.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"source.txt has 2 lines and target.txt has 1"):
        read(tmp_path)


# -- a table of labels -------------------------------------------------------------------------------------------------


def flat(folder, count=6):
    """Pictures that lie in no folders; the first three are darker."""
    for number in range(count):
        picture(folder / f"p{number}.png")
    return folder


@pytest.mark.parametrize("place", ["photos/labels.csv", "photos.csv", "train_labels.csv"])
@pytest.mark.parametrize("write", ["p{}.png", "p{}", "images/P{}.PNG", ".\\\\p{}.png"])
def test_a_table_of_labels_in_or_beside_a_flat_folder_is_followed(tmp_path, place, write):
    flat(tmp_path / "photos")
    lines = [f"{write.format(n)},{'cat' if n < 3 else 'dog'}" for n in (5, 0, 1, 2, 3, 4)]
    (tmp_path / place).write_text("image,label\n" + "\n".join(lines) + "\n")
    dataset = read(tmp_path / "photos")
    assert (dataset.task, dataset.classes, len(dataset)) == ("image", ("cat", "dog"), 6)
    assert dict(zip(dataset.origins, dataset.targets.tolist(), strict=True)) == {
        f"p{n}.png": "cat" if n < 3 else "dog" for n in range(6)
    }
    assert said(dataset, "files by column 'image'") and said(dataset, "target 'label'")
    for row, origin in enumerate(dataset.origins):
        with Image.open(tmp_path / "photos" / origin) as image:
            np.testing.assert_array_equal(dataset.inputs[row], np.asarray(image).transpose(2, 0, 1))


def test_missing_files_and_files_without_a_label_are_told(tmp_path):
    flat(tmp_path)
    (tmp_path / "p4.png").write_bytes(b"\x89PNG nothing more")
    rows = ["p0,a", "p1,b", "p2,", "gone,a", "p4,b", "p1,a", "p5,a"]
    (tmp_path / "labels.tsv").write_text("\n".join(["file,kind", *rows]).replace(",", "\t") + "\n")
    dataset = read(tmp_path)
    assert dict(zip(dataset.origins, dataset.targets.tolist(), strict=True)) == {
        "p0.png": "a",
        "p1.png": "b",
        "p5.png": "a",
    }
    for words in (
        "1 row of labels.tsv left out, without a file: gone (row 5)", "files that a row before has named",
        "1 file left out, not in labels.tsv: p3.png", "1 row without a target left out", "p4.png",
    ):  # fmt: skip
        assert said(dataset, words), words


def test_tables_beside_a_folder_may_be_of_something_else(tmp_path):
    flat(tmp_path / "photos")
    rows = "".join(f"p{n}.png,{'ab'[n % 2]}\n" for n in range(6))
    (tmp_path / "train_list.parquet").write_bytes(b"no table at all")
    (tmp_path / "train_labels.csv").write_text("name,label\n" + rows)
    assert list(read(tmp_path / "photos").targets) == ["a", "b"] * 3
    (tmp_path / "photos/mine.csv").write_text("name,label\n" + rows.replace("a\n", "c\n"))
    assert list(read(tmp_path / "photos").targets) == ["c", "b"] * 3  # what is inside comes first
    (tmp_path / "photos/broken.parquet").write_bytes(b"no table at all")
    with pytest.raises(DataError, match="broken"):
        read(tmp_path / "photos")


def test_the_target_of_a_table_of_labels_can_be_chosen_and_may_be_a_number(tmp_path):
    flat(tmp_path / "faces" / "images")
    rows = [f"{n},{20.5 + n},{'fm'[n % 2]}" for n in range(6)]
    for number in range(6):
        (tmp_path / f"faces/images/p{number}.png").rename(tmp_path / f"faces/images/{number}.png")
    (tmp_path / "faces" / "people.csv").write_text("id,age,sex\n" + "\n".join(rows) + "\n")
    ages = read(tmp_path / "faces", target="age")
    assert ages.goal == "number" and sorted(ages.targets.tolist()) == [20.5 + n for n in range(6)]
    assert said(ages, "1 column of people.csv left out: 'sex'")
    assert read(tmp_path / "faces").classes == ("f", "m")
    with pytest.raises(DataError, match="did you mean 'age'"):
        read(tmp_path / "faces", target="agee")


def test_a_split_column_of_a_table_of_labels_is_kept(tmp_path):
    flat(tmp_path)
    rows = [f"p{n}.png,{'ab'[n % 2]},{'test' if n > 3 else 'train'}" for n in range(6)]
    (tmp_path / "labels.csv").write_text("name,label,split\n" + "\n".join(rows) + "\n")
    dataset = read(tmp_path)
    assert dataset.given.tolist() == ["train"] * 4 + ["test"] * 2
    assert said(dataset, "column 'split' taken as the split")


def test_folders_as_kaggle_gives_them(tmp_path):
    flat(tmp_path / "train")
    for number in range(3):
        picture(tmp_path / "test" / f"t{number}.png")
    (tmp_path / "train.csv").write_text("id,label\n" + "".join(f"p{n},{n % 2}\n" for n in range(6)))
    (tmp_path / "sample_submission.csv").write_text("id,label\n" + "".join(f"t{n},0\n" for n in range(3)))
    dataset = read(tmp_path)
    assert dataset.classes == (0, 1) and dataset.given is None
    assert said(dataset, "3 files left out, not in train.csv: test/t0.png")
    later = read(tmp_path / "test", like=dataset.form)
    assert len(later) == 3 and later.targets is None


def test_recordings_are_listed_too(tmp_path):
    for number in range(4):
        sound(tmp_path / f"{number:02}.wav", np.arange(400, dtype="<i2"))
    (tmp_path / "meta.csv").write_text("clip,word\n" + "".join(f"{n:02},{'ab'[n % 2]}\n" for n in range(4)))
    dataset = read(tmp_path)
    assert (dataset.task, dataset.classes) == ("audio", ("a", "b")) and len(dataset) == 4


def test_a_target_needs_a_table_that_lists_the_files(pets):
    with pytest.raises(DataError, match="no table with a target column 'kind' that lists its files"):
        read(pets, target="kind")
    flat(pets / "more")
    (pets / "labels.csv").write_text("image\n" + "".join(f"p{n}.png\n" for n in range(6)))
    with pytest.raises(DataError, match="lists files and nothing to predict"):
        read(pets / "more")


def test_a_table_among_other_files_stays_a_table(tmp_path):
    (tmp_path / "data.csv").write_text("a,label\n" + "".join(f"{n},{'xy'[n % 2]}\n" for n in range(6)))
    flat(tmp_path, count=4)
    assert read(tmp_path).task == "tabular"
